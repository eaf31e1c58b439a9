"""Which cookies a jar keeps, and whether it may have one for a host."""

from __future__ import annotations

from collections.abc import Callable
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncbatch import Fetcher, Request
from asyncbatch._lanes.client._cookies import (
    AskedUrl,
    UserAgentJar,
    adopt,
    cookie_domains,
    may_match,
    narrowed,
)
from asyncbatch.testing import LoopbackServer, RecordedRequest, Reply

FOREIGN = ["a=caf\xe9", "b=1"]


def _cookie(request: RecordedRequest) -> str | None:
    return request.headers.get("cookie")


def _teach(server: LoopbackServer) -> None:
    with_cookies = Reply(headers=[("set-cookie", cookie) for cookie in FOREIGN])
    server.on("/", with_cookies)
    redirect = Reply.redirect("/next")
    for cookie in FOREIGN:
        redirect = redirect.with_header("set-cookie", cookie)
    server.on("/redirect", redirect)
    server.on("/next", lambda request: Reply(body=_cookie(request) or ""))


async def test_a_cookie_in_another_alphabet_fails_no_later_request(server: LoopbackServer) -> None:
    """Httpx could not send it; the others are kept."""
    _teach(server)

    async with Fetcher(retry=None) as fetcher:
        first, following = [await fetcher.fetch(server.url(path)) for path in ("/", "/next")]

    assert first.ok
    assert following.text == "b=1"


async def test_a_redirect_with_such_a_cookie_is_followed(server: LoopbackServer) -> None:
    """Its request is built with the cookies that can be sent."""
    _teach(server)

    async with Fetcher(retry=None) as fetcher:
        result = await fetcher.fetch(server.url("/redirect"))

    assert result.text == "b=1"


@pytest.mark.parametrize("path", ["/", "/redirect"])
async def test_a_client_of_the_callers_is_not_poisoned_either(
    server: LoopbackServer, client: Any, path: str
) -> None:
    """The cookie is dropped from its jar, whatever came of the response that brought it."""
    _teach(server)

    async with Fetcher(client, retry=None) as fetcher:
        await fetcher.fetch(server.url(path))
        following = await fetcher.fetch(server.url("/next"))

    assert following.text == "b=1"


async def test_a_jar_of_the_callers_keeps_its_rules() -> None:
    """Only a jar that was made for the client gets ours."""
    jar = CookieJar()
    policy = jar._policy  # type: ignore[attr-defined]

    async with Fetcher(cookies=httpx.Cookies(), retry=None), Fetcher(cookies=jar, retry=None):
        pass

    assert jar._policy is policy  # type: ignore[attr-defined]


@given(
    st.lists(st.from_regex(r"[a-c]{1,2}", fullmatch=True), min_size=1, max_size=4).map(".".join),
    st.lists(st.from_regex(r"[a-c]{1,2}", fullmatch=True), min_size=0, max_size=4).map(".".join),
)
@settings(max_examples=100, deadline=None)
@example("a.b.c", "b.c")
@example("a", "")
@example("127.0.0.1", "127.0.0.1")
@example("a", "a.local")
@example("a.b", "")
@example("[::1]", "[::1]")
def test_no_cookie_is_missed(host: str, domain: str) -> None:
    """Where httpx sends one, the jar is found to have one; with a leading dot and without."""
    for written in (domain, f".{domain}"):
        cookies = httpx.Cookies()
        cookies.set("name", "value", domain=written)
        request = httpx.Request("GET", f"http://{host}/", cookies=cookies)

        if "cookie" in request.headers:
            assert may_match(cookies.jar, cookie_domains(host.strip("[]")))


_HOSTS = ["a.test", "b.a.test", "c.b.a.test", "other.test", "localhost", "127.0.0.1", "[::1]"]
_SETTINGS = st.lists(
    st.tuples(
        st.sampled_from(["x", "y"]),
        st.sampled_from(["", *_HOSTS, ".a.test", "test", ".test"]),
        st.sampled_from(["/", "/p", "/p/q"]),
    ),
    max_size=12,
)


@given(_SETTINGS, st.sampled_from(_HOSTS), st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_part_of_a_jar_sends_what_the_whole_would(
    kept: list[tuple[str, str, str]], host: str, ours: bool
) -> None:
    """The same cookies in the same order, of a jar of ours as of one of the caller's."""
    cookies = httpx.Cookies()
    if ours:
        adopt(cookies)
    for number, (name, domain, path) in enumerate(kept):
        cookies.set(name, str(number), domain=domain, path=path)
    whole, part = (httpx.Request("GET", f"http://{host}/p/q") for _ in range(2))

    cookies.set_cookie_header(whole)
    narrowed(cookies, host.strip("[]")).set_cookie_header(part)

    assert part.headers == whole.headers


def _count_looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets an entry whenever a jar keeps a cookie, or asks whether to send."""
    looks: list[str] = []
    for owner, name in [
        (CookieJar, "set_cookie"),
        (DefaultCookiePolicy, "return_ok"),
        (DefaultCookiePolicy, "domain_return_ok"),
        (Cookie, "is_expired"),
    ]:
        monkeypatch.setattr(owner, name, _counted(getattr(owner, name), looks))
    return looks


def _counted(method: Callable[..., Any], looks: list[str]) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        looks.append(method.__name__)
        return method(*arguments, **options)

    return counted


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="direct"),
        pytest.param({"auth": httpx.Auth()}, id="client"),
    ],
)
@pytest.mark.parametrize("own", [{}, {"cookies": {"own": "1"}}], ids=["plain", "with-its-own"])
async def test_the_cookies_of_other_hosts_are_not_looked_at(
    server: LoopbackServer,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    own: dict[str, Any],
) -> None:
    """A request, a redirect and a cookie that comes cost the same with 500 others."""
    server.on("/redirect", Reply.redirect("/next").with_header("set-cookie", "a=1; Path=/"))
    server.on("/next", lambda request: Reply(body=_cookie(request) or ""))

    async with Fetcher(retry=None, **options) as fetcher:
        for number in range(500):
            fetcher.client.cookies.set("a", "1", domain=f"host{number}.test")
        with monkeypatch.context() as patched:
            looks = _count_looks(patched)
            result = await fetcher.fetch(Request(server.url("/redirect"), **own))
        kept = len(fetcher.client.cookies)

    assert result.text == "a=1"
    assert len(looks) < 30
    assert kept == 501


async def test_a_client_shows_all_its_cookies() -> None:
    """Only while a request is built it has no others than those of its host."""
    async with Fetcher(cookies={"a": "1"}, retry=None) as fetcher:
        fetcher.client.cookies = {"b": "2", "c": "3"}
        names = list(fetcher.client.cookies)
        jar = fetcher.client.cookies.jar

    assert names == ["b", "c"]
    assert isinstance(jar, UserAgentJar)


def test_a_jar_forgets_what_has_expired() -> None:
    """Also of hosts that are not asked again: a long crawl keeps live cookies only."""
    cookies = httpx.Cookies()
    adopt(cookies)
    for number in range(10_000):
        request = httpx.Request("GET", f"http://host{number}.test/")
        headers = {"set-cookie": "a=1; Max-Age=1"}
        cookies.extract_cookies(httpx.Response(200, headers=headers, request=request))
        for cookie in cookies.jar if number % 50 == 0 else ():
            cookie.expires = 1

    assert len(cookies.jar._cookies) < 1000  # type: ignore[attr-defined]


def test_a_cookie_that_cannot_be_sent_is_not_kept_beside_others() -> None:
    """RFC 6265 lets a tab pass, which no request is sent with."""
    jar = UserAgentJar()
    jar.extract(["a=b\tc", "b=2"], AskedUrl.of("http://a.test/"))

    assert [cookie.name for cookie in jar] == ["b"]


def test_a_jar_with_rules_of_its_own_stays_whole() -> None:
    """It may send its cookies anywhere, and is not replaced."""

    class Policy(DefaultCookiePolicy):
        """Rules of the caller's."""

    cookies = httpx.Cookies()
    cookies.set("a", "1", domain="a.test")
    jar = cookies.jar
    jar.set_policy(Policy())
    adopt(cookies)

    assert cookies.jar is jar
    assert narrowed(cookies, "b.test") is cookies
