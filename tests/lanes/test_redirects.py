"""What a redirect's request takes along, and what it leaves behind."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from asyncbatch._lanes._redirects import keep_userinfo, leave_behind


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
