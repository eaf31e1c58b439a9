"""The key of a host: read off plain URLs, asked of the client for the others."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch import Request
from asyncbatch._values._host_key import _ORIGIN, host_key_of


def parsed(item: Any) -> httpx.URL:
    return httpx.URL(item)


@pytest.mark.parametrize(
    ("item", "key"),
    [
        ("http://host.test/a", ("http", "host.test", 80)),
        ("HTTPS://Host.Test", ("https", "host.test", 443)),
        ("http://host.test:8080?a", ("http", "host.test", 8080)),
        ("http://user:pass@host.test/", ("http", "host.test", 80)),
        ("http://user:pass@host.test:81/", ("http", "host.test", 81)),
        ("http://evil.test\\@host.test/", None),
        ("http://host.test#@evil.test", ("http", "host.test", 80)),
        ("http://[::1]:81/", ("http", "::1", 81)),
        ("http://Host.test./a", ("http", "host.test", 80)),
        ("http://\xe9.test./", ("http", "xn--9ca.test", 80)),
        ("http://\xe9.test/", ("http", "xn--9ca.test", 80)),
        ("http://xn--9ca.test/", ("http", "xn--9ca.test", 80)),
        (httpx.URL("https://host.test:444/"), ("https", "host.test", 444)),
        (Request("http://host.test/"), ("http", "host.test", 80)),
    ],
)
def test_the_key_is_scheme_host_and_port(item: Any, key: Any) -> None:
    """In lower case, and with the default ports filled in."""
    located = host_key_of(item, parsed)

    assert located == (key or (parsed(item).scheme, parsed(item).host, 80))


def test_an_unfetchable_url_raises_what_the_client_says() -> None:
    """There is no key for it."""
    with pytest.raises(httpx.InvalidURL):
        host_key_of("http://host.test:99999999x/", parsed)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://a.test", ("http", "a.test", None)),
        ("HTTPS://A.test:81/b", ("HTTPS", "A.test", "81")),
        ("http://a.test:59999?b", ("http", "a.test", "59999")),
        ("http://a.test:65536/", None),
        ("http://a.test:080/", None),
        ("http://u@a.test/", None),
        ("http://a.test\\@b.test/", None),
        ("http://[::1]/", None),
        ("http://\xe9.test/", None),
    ],
)
def test_an_origin_is_one_that_reads_in_one_way(url: str, origin: Any) -> None:
    """Whatever a reader makes of userinfo, backslashes and leading zeros."""
    match = _ORIGIN.match(url)

    assert (match and match.groups()) == origin


@given(
    st.text(
        alphabet="abz09.-_:/?#@\\[]%\t\n\r\x00 AZé",
        max_size=20,
    )
)
def test_the_short_way_agrees_with_the_client(rest: str) -> None:
    """Whatever is read off a plain URL is what httpx makes of it, or httpx refuses it."""
    url = "http://" + rest
    try:
        theirs: Any = httpx.URL(url)
        host = theirs.raw_host.decode().removesuffix(".")  # which is for the resolver
        expected = (theirs.scheme, host, theirs.port or 80)
    except httpx.InvalidURL:
        return

    assert host_key_of(url, httpx.URL) == expected
