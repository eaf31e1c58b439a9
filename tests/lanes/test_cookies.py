"""Which cookies a jar keeps, and whether it may have one for a host."""

from __future__ import annotations

from http.cookiejar import CookieJar
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncbatch import Fetcher
from asyncbatch._lanes._cookies import cookie_domains, may_match
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
@settings(max_examples=300, deadline=None)
@example("a.b.c", "b.c")
@example("a", "")
@example("127.0.0.1", "127.0.0.1")
@example("a", "a.local")
@example("a.b", "")
def test_no_cookie_is_missed(host: str, domain: str) -> None:
    """Where httpx sends one, the jar is found to have one; with a leading dot and without."""
    for written in (domain, f".{domain}"):
        cookies = httpx.Cookies()
        cookies.set("name", "value", domain=written)
        request = httpx.Request("GET", f"http://{host}/", cookies=cookies)

        if "cookie" in request.headers:
            assert may_match(cookies.jar, cookie_domains(host))
