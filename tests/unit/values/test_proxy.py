"""What a proxy may be given as, and what is said of what is none."""

from __future__ import annotations

import ssl
from typing import Any

import httpx
import pytest

from asyncbatch._values._proxy import Proxy, proxy_of

READ: dict[str, tuple[Any, Proxy]] = {
    "a URL": ("http://proxy.test:3128", Proxy("http", "proxy.test", 3128)),
    "capitals and a path": ("HTTP://Proxy.Test:3128/", Proxy("http", "proxy.test", 3128)),
    "the port of http": ("http://p.test", Proxy("http", "p.test", 80)),
    "the port of https": ("https://p.test", Proxy("https", "p.test", 443)),
    "the port of socks5": ("socks5://p.test", Proxy("socks5", "p.test", 1080)),
    "the port of socks5h": ("socks5h://p.test", Proxy("socks5h", "p.test", 1080)),
    "IPv6": ("http://[::1]:8080", Proxy("http", "::1", 8080)),
    "credentials": ("http://a:b@p.test", Proxy("http", "p.test", 80, (b"a", b"b"))),
    "no password": ("http://a@p.test", Proxy("http", "p.test", 80, (b"a", b""))),
    "escapes": ("http://a%40:%C3%A4@p.test", Proxy("http", "p.test", 80, (b"a@", b"\xc3\xa4"))),
    "bytes that are not UTF-8": (
        "http://%ff:%fe@p.test",
        Proxy("http", "p.test", 80, (b"\xff", b"\xfe")),
    ),
    "a colon in the password": ("http://a:b:c@p.test", Proxy("http", "p.test", 80, (b"a", b"b:c"))),
    "a URL of httpx's": (httpx.URL("http://a:b@p.test"), Proxy("http", "p.test", 80, (b"a", b"b"))),
    "httpx's Proxy": (
        httpx.Proxy("http://p.test", auth=("a", "b"), headers={"X-A": "b"}),
        Proxy("http", "p.test", 80, (b"a", b"b"), ((b"X-A", b"b"),)),
    ),
    "a dot at the end": ("http://p_1.test.", Proxy("http", "p_1.test.", 80)),
    "blanks around it": (" http://p.test \n", Proxy("http", "p.test", 80)),
}


@pytest.mark.parametrize("name", READ)
def test_each_form_is_read(name: str) -> None:
    """Equal ones are one, and share connections."""
    given, expected = READ[name]

    assert proxy_of(given) == expected
    assert hash(proxy_of(given)) == hash(expected)


def test_a_context_of_its_own_is_kept() -> None:
    """And makes it another proxy."""
    context = ssl.create_default_context()
    proxy = proxy_of(httpx.Proxy("https://p.test", ssl_context=context))

    assert proxy.ssl_context is context
    assert proxy != proxy_of("https://p.test")


WRONG = {
    "ftp://me:s3cr3t@p.test": "begins with http://",
    "p.test:3128": "begins with http://",
    "": "begins with http://",
    "http://": "must be a URL such as",
    "http://me:s3cr3t@": "there is no host",
    "socks5://me:s3cr3t@:80": "there is no host",
    "http://me:s3cr3t@p.test:99999": "ports are 1 to 65535",
    "http://me:s3cr3t@p.test:0": "ports are 1 to 65535",
    "http://me:s3cr3t@p.test:-1": "must be a URL such as",
    "http://me:s3cr3t@p.test:http": "must be a URL such as",
    "http://me:s3cr3t\ud800@p.test": "must be a URL such as",
    "http://me:s3cr3t@[::1": "must be a URL such as",
    "http://m%3Ae:s3cr3t@p.test": "has a colon",
    "socks5://:s3cr3t@p.test": "1 to 255 bytes",
    f"socks5://me:{'s3cr3t' * 50}@p.test": "1 to 255 bytes",
}


@pytest.mark.parametrize("given", WRONG)
def test_what_is_none_is_told_with_the_cure(given: str) -> None:
    """And without a password."""
    with pytest.raises(ValueError, match=WRONG[given]) as caught:
        proxy_of(given)

    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("character", ["%00", *' <>"\\^|{}`[]%\x01\x1f\x7f'])
@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h"])
def test_a_host_that_cannot_exist_is_told_with_the_cure(scheme: str, character: str) -> None:
    """The URLs of httpx accept most of these characters, percent-encoded or not."""
    with pytest.raises(ValueError, match=r"proxy must be a URL such as .*://.*x.*y:1'") as caught:
        proxy_of(f"{scheme}://me:s3cr3t@x{character}y:1")

    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("host", [".", "a..b", "a" * 64, "a." * 127 + "aa"])
def test_a_host_with_impossible_labels_is_told(host: str) -> None:
    """Some resolvers raise errors that are no `OSError` for one."""
    with pytest.raises(ValueError, match="there can be no such host"):
        proxy_of(httpx.Proxy(f"http://{host}:1"))


def test_credentials_that_no_encoding_has_are_told() -> None:
    """Half of a pair of surrogates."""
    with pytest.raises(ValueError, match="UTF-8"):
        proxy_of(httpx.Proxy("http://p.test", auth=("a", "\ud800")))


@pytest.mark.parametrize("auth", [("s3cr3t",), (1, 2), (b"a", b"s3cr3t"), "s3cr3t", 5])
def test_credentials_of_another_type_are_told(auth: Any) -> None:
    """They come from httpx, which takes anything."""
    with pytest.raises(TypeError, match=r"auth of the proxy 'http://p\.test'") as caught:
        proxy_of(httpx.Proxy("http://p.test", auth=auth))

    assert "s3cr3t" not in str(caught.value)


def test_a_field_that_cannot_be_sent_is_told() -> None:
    """Not its value, which may be a secret."""
    with pytest.raises(ValueError, match="header b'X-A'") as caught:
        proxy_of(httpx.Proxy("http://p.test", headers={"X-A": "s3cr3t\r\n"}))

    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("given", [5, b"http://p.test", object()])
def test_another_type_is_told(given: Any) -> None:
    """With what there may be."""
    with pytest.raises(TypeError, match=r"proxy must be a URL, or an httpx\.Proxy"):
        proxy_of(given)


def test_what_is_shown_has_no_credentials() -> None:
    """Neither the label nor the `repr`."""
    proxy = proxy_of("http://me:s3cr3t@[::1]:3128")

    assert proxy.label == "http://[::1]:3128"
    assert repr(proxy) == "<Proxy http://[::1]:3128>"


def test_a_field_of_its_own_takes_the_place_of_credentials() -> None:
    """Other ways to be let in than Basic need one."""
    own = {"Proxy-Authorization": "Bearer x"}
    proxy = proxy_of(httpx.Proxy("http://a:b@p.test", headers=own))

    assert proxy.fields == ((b"Proxy-Authorization", b"Bearer x"),)
    assert proxy_of("http://a:b@p.test").fields == ((b"Proxy-Authorization", b"Basic YTpi"),)
