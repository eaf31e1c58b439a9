"""What a redirect's request takes along, and what it leaves behind."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from asyncbatch import Fetcher
from asyncbatch._lanes.client._next_request import (
    keep_bytes_of_location,
    keep_userinfo,
    leave_behind,
)
from asyncbatch.testing import LoopbackServer, Raw, Reply

pytestmark = pytest.mark.any_loop


def _redirected(url: str, following: str, method: str = "GET") -> tuple[Any, Any]:
    headers = {"Proxy-Authorization": "secret", "Content-Type": "text/plain", "X-Own": "1"}
    return httpx.Request("PUT", url, headers=headers), httpx.Request(
        method, following, headers=headers
    )


@pytest.mark.parametrize(
    ("url", "following", "stays"),
    [
        ("http://a.test/", "http://a.test:80/next", True),
        ("https://a.test:443/", "https://a.test/next", True),
        ("http://a.test/", "https://a.test/", False),
        ("http://a.test/", "http://a.test:8080/", False),
        ("http://a.test/", "http://b.test/", False),
    ],
)
def test_what_is_for_the_proxy_stays_with_its_origin(url: str, following: str, stays: bool) -> None:
    """An origin is scheme, host and port, the default port written or not."""
    native, next_request = _redirected(url, following)

    leave_behind(native, next_request)

    assert ("Proxy-Authorization" in next_request.headers) is stays
    assert next_request.headers["X-Own"] == "1"
    assert native.headers["Proxy-Authorization"] == "secret"


@pytest.mark.parametrize(("method", "stays"), [("PUT", True), ("GET", False)])
def test_what_describes_a_body_goes_where_the_body_goes(method: str, stays: bool) -> None:
    """With another method, httpx sends none."""
    native, following = _redirected("http://a.test/", "http://a.test/next", method)

    leave_behind(native, following)

    assert ("Content-Type" in following.headers) is stays


@pytest.mark.parametrize(
    ("location", "userinfo"),
    [("/next", b"a:b"), ("?q", b"a:b"), ("//b.test/", b""), ("http://a.test/next", b"")],
)
def test_user_and_password_of_a_url_hold_for_what_is_relative_to_it(
    location: str, userinfo: bytes
) -> None:
    """And for nothing else, as in httpx, which would have seen them in the URL."""
    url = httpx.URL("http://a:b@a.test/")
    response = httpx.Response(302, headers={"location": location})
    response.next_request = httpx.Request("GET", httpx.URL("http://a.test/").join(location))

    keep_userinfo(response, url, httpx)

    assert response.next_request.url.userinfo == userinfo


LOCATIONS = [
    ("/café?q=é".encode(), "/caf%C3%A9?q=%C3%A9"),
    ("/café?q=é".encode("latin-1"), "/caf%E9?q=%E9"),
    (b"/\xff\xfe%C3%A9", "/%FF%FE%C3%A9"),
    ("é/a".encode(), "/%C3%A9/a"),
    ("?é".encode(), "{path}?%C3%A9"),
    (b"/a b|c", "/a%20b|c"),
    (b'/"a"', "/%22a%22"),
    ("/a b|é".encode("latin-1"), "/a%20b|%E9"),
    (b"/plain", "/plain"),
]


@pytest.mark.parametrize("beside", [b"plain", "Zürich".encode(), "Zürich".encode("latin-1")])
@pytest.mark.parametrize("lane", ["direct", "client", "httpx", "httpx2"])
async def test_the_bytes_of_a_location_go_on_as_they_are(lane: str, beside: bytes) -> None:
    """Percent-encoded, as browsers send them, whatever the other fields hold."""
    head = b"HTTP/1.1 302 Found\r\nX: %b\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n"
    async with LoopbackServer(default=Reply(body=b"ok")) as server, fetcher_of(lane) as fetcher:
        for number, (location, target) in enumerate(LOCATIONS):
            path = f"/go{number}"
            server.on(path, Raw(head % (beside, location)), Reply(body=b"here"))
            result = await fetcher.fetch(server.url(path))

            assert result.ok, result
            assert server.requests[-1].target == target.format(path=path)
            assert result.response.history[0].headers.raw[1][1] == location
            assert result.response.history[0].next_request is None


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
async def test_the_host_of_a_location_is_a_name(encoding: str) -> None:
    """It is decoded, which the bytes of a path are not."""
    raw = [(b"location", "http://bücher.test/é".encode(encoding)), (b"x", b"\xe9")]
    asked: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        if request.url.path == "/go":
            return httpx.Response(302, headers=raw)
        return httpx.Response(200)

    async with Fetcher(transport=httpx.MockTransport(handle), retry=None) as fetcher:
        result = await fetcher.fetch("http://a.test/go")

    assert result.ok, result
    path = {"utf-8": "%C3%A9", "latin-1": "%E9"}[encoding]
    assert asked[1] == f"http://xn--bcher-kva.test/{path}"


@contextlib.asynccontextmanager
async def fetcher_of(lane: str) -> AsyncIterator[Fetcher]:
    if lane in ("direct", "client"):
        # A flow that does nothing takes requests to the client lane.
        auth = httpx.Auth() if lane == "client" else None
        async with Fetcher(trust_env=False, retry=None, auth=auth) as fetcher:
            yield fetcher
        return
    library = pytest.importorskip(lane)
    async with (
        library.AsyncClient(trust_env=False, follow_redirects=True) as client,
        Fetcher(client, retry=None) as fetcher,
    ):
        yield fetcher


def test_a_client_that_joins_urls_in_another_way_keeps_its_url() -> None:
    """The method that is asked is a private one of httpx."""
    native = httpx.Request("GET", "http://a.test/")
    response = httpx.Response(302, headers=[(b"location", b"/caf\xe9")], request=native)
    response.next_request = following = httpx.Request("GET", "http://a.test/theirs")
    headers = response.headers
    keep_bytes_of_location(object(), native, response, httpx)

    assert response.next_request is following
    assert following.url == "http://a.test/theirs"
    assert response.headers is headers
