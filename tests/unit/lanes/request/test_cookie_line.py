"""The `Cookie` field of an origin: what httpx sends, and kept for as long as that is so."""

from __future__ import annotations

import time
from collections.abc import Callable
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncbatch import Fetcher, Request
from asyncbatch._lanes import binding_of
from asyncbatch._lanes.client._cookies import UserAgentJar
from asyncbatch._lanes.client._own_client import OwnClient
from asyncbatch._lanes.request._cookie_line import CookieLines
from asyncbatch._lanes.request._encode import RequestEncoder
from asyncbatch._values._timeouts import TimeLimits
from asyncbatch.testing import LoopbackServer, RecordedRequest, Reply
from tests.served import lanes_of, prepared_by
from tests.unit.lanes.test_relay import begun_by

LIMITS = TimeLimits(total=30, connect=10)

_HOSTS = ["a.test", "b.a.test", "localhost", "127.0.0.1", "other.test"]
_PATHS = ["/", "", "/p", "/p/", "/p/q", "/p/q/r", "/%41"]
_COOKIES = st.lists(
    st.tuples(
        st.sampled_from(["x", "y"]),
        st.sampled_from(["", *_HOSTS, ".a.test", "test", ".test", "localhost.local"]),
        st.sampled_from(_PATHS),
        st.sampled_from(["1", "a b", "é", "", " 1"]),
        st.sampled_from([{}, {}, {"secure": True}, {"expires": 1}, {"expires": 2**33}]),
    ),
    max_size=5,
)
_AUTHS = st.sampled_from([None, ("me", "secret")])
_HEADERS = st.sampled_from([{}, {"x-own": "1"}, {"cookie": "h=1"}, {"authorization": "Bearer t"}])
_TARGETS = st.sampled_from(["/", "/p", "/p/q", "/p/q/r?a=/", "/px", "/%41", "/%41/b", "/p/?q"])


def fill(jar: CookieJar, cookies: list[Any]) -> None:
    """Put cookies into a jar."""
    for name, domain, path, value, more in cookies:
        one = httpx.Cookies()
        one.set(name, value, domain=domain, path=path)
        for cookie in one.jar:
            vars(cookie).update(more)
            jar.set_cookie(cookie)


@given(
    st.lists(st.tuples(_COOKIES, st.lists(_TARGETS, max_size=3)), min_size=1, max_size=3),
    st.sampled_from(_HOSTS),
    st.sampled_from(["http", "https"]),
    _AUTHS,
    _HEADERS,
    st.sampled_from([{}, {"method": "POST", "json": [1]}, {"headers": {"x-a": "b"}}]),
)
@settings(max_examples=150, deadline=None)
def test_the_cookies_are_sent_that_httpx_would_send(
    steps: list[Any], host: str, scheme: str, auth: Any, headers: Any, own: dict[str, Any]
) -> None:
    """To the byte, with the same request to see, whatever the jar is given in between."""
    client = OwnClient(auth=auth, headers=headers, trust_env=False)
    encoder = RequestEncoder(client, binding_of(client), client.own_transport)
    for cookies, targets in steps:
        fill(client.cookies.jar, cookies)
        for target in targets:
            url = f"{scheme}://{host}{target}"
            try:
                prepared = prepared_by(encoder, Request(url, **own) if own else url, LIMITS)
                native = client.build_request(url=url, **{"method": "GET", **own})
            except (UnicodeEncodeError, httpx.LocalProtocolError):
                continue  # a value that cannot be sent
            native = next(client._build_request_auth(native).sync_auth_flow(native))

            assert prepared is not None
            lines = [b"%b: %b" % field for field in native.headers.raw]
            assert prepared.payload.split(b"\r\n")[1:-2] == lines
            assert prepared.native().headers.raw == native.headers.raw


async def test_a_relay_sends_and_takes_cookies(server: LoopbackServer) -> None:
    """No task wakes up for them."""

    def numbered(request: RecordedRequest) -> Reply:
        return Reply(body=request.headers.get("cookie", "")).with_header(
            "set-cookie", f"n={request.query}; Path=/; HttpOnly"
        )

    server.on("/set", numbered)

    async with Fetcher(concurrency=1, cookies={"own": "1"}) as fetcher:
        begun = begun_by(fetcher)
        results = await fetcher.fetch_many([server.url(f"/set?{n}") for n in range(5)])
        kept = fetcher.client.cookies.get("n")

    assert begun == ["/set?0"]
    assert [result.text for result in results] == ["own=1", *(f"own=1; n={n}" for n in range(4))]
    assert [result.response.request.headers["cookie"] for result in results if result.ok] == [
        result.text for result in results
    ]
    assert kept == "4"


def _set(client: httpx.AsyncClient) -> None:
    client.cookies.set("a", "2")


def _replace(client: httpx.AsyncClient) -> None:
    client.cookies = {"b": "3"}  # type: ignore[assignment]  # the setter takes more


def _replace_jar(client: httpx.AsyncClient) -> None:
    client.cookies.jar = UserAgentJar()
    client.cookies.set("c", "4")


def _clear(client: httpx.AsyncClient) -> None:
    client.cookies.clear()


def _write(client: httpx.AsyncClient) -> None:
    for cookie in client.cookies.jar:
        cookie.value = "5"


def _end(client: httpx.AsyncClient) -> None:
    for cookie in client.cookies.jar:
        cookie.expires = 1


def _block(client: httpx.AsyncClient) -> None:
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))


@pytest.mark.parametrize(
    ("change", "sent"),
    [
        (_set, "a=2"),
        (_replace, "b=3"),
        (_replace_jar, "c=4"),
        (_clear, ""),
        (_write, "a=5"),
        (_end, ""),
        (_block, ""),
    ],
)
async def test_whatever_is_done_to_the_jar_is_seen(
    server: LoopbackServer, change: Callable[[httpx.AsyncClient], None], sent: str
) -> None:
    """By the next request, in the middle of a batch too."""
    server.on("/", lambda request: Reply(body=request.headers.get("cookie", "")))

    async with Fetcher(concurrency=1, cookies={"a": "1"}) as fetcher:

        def urls() -> Any:
            yield from [server.url()] * 3
            change(fetcher.client)
            yield server.url()

        lanes = lanes_of(fetcher)
        results = await fetcher.fetch_many(urls())

    assert [result.text for result in results] == ["a=1", "a=1", "a=1", sent]
    assert set(lanes) == {"direct"}


def test_a_cookie_is_not_sent_after_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line that was made with it is not kept beyond that, and the jar lets go of it."""
    jar, now = UserAgentJar(), 1000.0
    lines = CookieLines("http://a.test", "a.test")
    monkeypatch.setattr(time, "time", lambda: now)
    monkeypatch.setattr("asyncbatch._lanes.request._cookie_line.time", lambda: now)
    fill(jar, [("x", "a.test", "/", "1", {"expires": 1010}), ("y", "a.test", "/", "2", {})])

    before = [lines.of(jar, "/"), lines.of(jar, "/")]
    now = 1010.0
    after = [lines.of(jar, "/"), lines.of(jar, "/")]

    assert before == ["x=1; y=2"] * 2
    assert after == ["y=2"] * 2
    assert [cookie.name for cookie in jar] == ["y"]


def test_a_line_is_made_once_for_each_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for each request, and not again when other hosts set cookies or this one the same."""
    jar, made = UserAgentJar(), []
    lines = CookieLines("http://a.test", "a.test")
    line_for = UserAgentJar.line_for
    monkeypatch.setattr(
        UserAgentJar, "line_for", lambda *args: made.append(args[2]) or line_for(*args)
    )
    fill(jar, [("x", "a.test", "/", "1", {}), ("y", "a.test", "/p", "2", {})])

    sent = []
    for number in range(10):
        fill(jar, [("x", "a.test", "/", "1", {})])
        sent += [lines.of(jar, f"/{number}"), lines.of(jar, f"/p/{number}?a")]

    assert sent == ["x=1", "y=2; x=1"] * 10
    assert len(made) == 2


def test_the_lines_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that was forgotten is made again, and is the same."""
    monkeypatch.setattr("asyncbatch._lanes.request._cookie_line._MOST", 2)
    jar, lines = UserAgentJar(), CookieLines("http://a.test", "a.test")
    fill(jar, [(f"c{number}", "a.test", f"/{number}", "1", {}) for number in range(5)])

    for _ in range(2):
        sent = [lines.of(jar, f"/{number}/x") for number in range(5)]
        assert sent == [f"c{number}=1" for number in range(5)]
        assert len(lines._lines) <= 2


def test_a_jar_of_the_callers_is_left_to_httpx() -> None:
    """It may have rules of its own, and does not tell of changes."""
    jar = CookieJar()
    lines = CookieLines("http://a.test", "a.test")

    assert lines.of(jar, "/") == ""
    fill(jar, [("x", "a.test", "/", "1", {})])
    assert lines.of(jar, "/") is None


def test_the_version_of_a_jar_changes_with_what_it_holds() -> None:
    """And not when a cookie is set again that it holds."""
    jar = UserAgentJar()
    versions = [jar.version]
    fill(jar, [("x", "a.test", "/", "1", {})])
    versions.append(jar.version)
    fill(jar, [("x", "a.test", "/", "1", {})])
    assert jar.version == versions[-1]
    one: Cookie = next(iter(jar))
    jar.set_cookie(one)
    versions.append(jar.version)
    jar.clear("a.test", "/", "x")
    versions.append(jar.version)
    fill(jar, [("x", "a.test", "/", "1", {})])
    jar.clear_session_cookies()
    versions.append(jar.version)

    assert len(set(versions)) == len(versions)


def test_a_jar_of_ours_with_rules_of_the_callers_is_left_to_httpx() -> None:
    """Its policy may send a cookie anywhere."""

    class Policy(DefaultCookiePolicy):
        """Rules of the caller's."""

    jar = UserAgentJar()
    fill(jar, [("x", "a.test", "/", "1", {})])
    jar.set_policy(Policy())

    assert CookieLines("http://a.test", "a.test").of(jar, "/") is None
