"""The grammar of URLs, held against httpx where it has the last word."""

from __future__ import annotations

import enum
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncbatch._values._urls import (
    ABSOLUTE,
    HOST_AND_PORT,
    MAX_PLAIN_LENGTH,
    ORIGIN,
    SIMPLE_TARGET,
    is_possible_host,
    split_plain,
    text_of,
    with_ascii_host,
)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://a.test/", "http://a.test/"),
        ("\t http://a.test/\r\n", "http://a.test/"),
        ("\x00\x1fhttp://a.test/\x7f", "http://a.test/\x7f"),
        ("\xa0http://a.test/", "\xa0http://a.test/"),
        (httpx.URL("http://a.test/b"), "http://a.test/b"),
        (enum.Enum("Page", {"home": " http://a.test/"}, type=str).home, "http://a.test/"),
    ],
)
def test_controls_and_spaces_at_the_ends_are_no_part_of_a_url(url: Any, text: str) -> None:
    """Other blanks are; of a member of an Enum the value counts."""
    assert text_of(url) == text


@pytest.mark.parametrize(
    ("url", "split"),
    [
        ("http://a.test", ("http://a.test", b"/")),
        ("http://a.test?b=c", ("http://a.test", b"/?b=c")),
        ("https://a.test:8443/b/c?d=/?e", ("https://a.test:8443", b"/b/c?d=/?e")),
        ("http://127.0.0.1:1/%7Ea%20b", ("http://127.0.0.1:1", b"/%7Ea%20b")),
        ("http://a.test/.well-known/..a", ("http://a.test", b"/.well-known/..a")),
        ("HTTP://a.test/", None),
        ("http://A.test/", None),
        ("http://a.test/b/../c", None),
        ("http://a.test/.", None),
        ("http://a.test/b#c", None),
        ("http://a.test/?", None),
        ("http://a.test/b c", None),
        ("http://a.test/%zz", None),
        ("http://u@a.test/", None),
        ("http://[::1]/", None),
        ("http://a.test:0/", None),
        ("http://a.test:70000/", None),
        ("http://a_b.test/", None),
        ("http://-a.test/", None),
        ("ftp://a.test/", None),
        ("/b", None),
    ],
)
def test_a_plain_url_is_split(url: str, split: tuple[str, bytes] | None) -> None:
    """Any other is left to httpx."""
    assert split_plain(url) == split


def test_a_url_that_httpx_refuses_for_its_length_is_not_plain() -> None:
    """One of the longest that it takes is."""
    longest = "http://a.test/".ljust(MAX_PLAIN_LENGTH, "b")

    assert split_plain(longest) is not None
    assert httpx.URL(longest)
    assert split_plain(longest + "b") is None


CHARACTERS = "aZ9-._~!$&'()*+,;=:@/?%#[]\\ \"|\u00e9"


@settings(max_examples=300, deadline=None)
@given(path=st.text(CHARACTERS, max_size=12))
def test_what_is_read_at_a_glance_is_plain(path: str) -> None:
    """`SIMPLE_TARGET` against the whole grammar: what the first takes, that takes as it is."""
    target = "/" + path
    if SIMPLE_TARGET.fullmatch(target) and "/." not in target:
        assert split_plain("http://a.test" + target) == ("http://a.test", target.encode())


@settings(max_examples=300, deadline=None)
@given(
    host=st.sampled_from(["a.test", "a-b.c", "1.2.3.4", "a.test:81", "a.test:80", "x:59999"]),
    start=st.sampled_from(["/", "?", "/?", "/."]),
    rest=st.text(CHARACTERS, max_size=12),
)
def test_httpx_changes_nothing_of_a_plain_url(host: str, start: str, rest: str) -> None:
    """So that it need not be asked."""
    text = f"http://{host}{start}{rest}"
    split = split_plain(text)
    if split is None:
        return
    url = httpx.URL(text)

    assert url.raw_path == split[1]
    # The default port is the one thing that it drops.
    assert url.netloc.decode() == host.removesuffix(":80")


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
    match = ORIGIN.match(url)

    assert (match and match.groups()) == origin


@pytest.mark.parametrize("url", ["http:b", " HTTP://b", "//b", "mailto:b", ":b"])
def test_what_names_a_scheme_or_a_host_is_not_relative(url: str) -> None:
    """Httpx would join the rest to it."""
    assert ABSOLUTE.match(url)


@pytest.mark.parametrize("url", ["b", "/b", "?b", "b/c:d", "1:b", "./a:b", ""])
def test_what_names_neither_is_relative(url: str) -> None:
    """A colon in a later segment is no scheme."""
    assert not ABSOLUTE.match(url)


@pytest.mark.parametrize(
    ("authority", "is_one"),
    [
        ("a.test", True),
        ("a.test:80", True),
        ("a.test:", True),
        ("[::1]:80", True),
        ("a.test:+80", False),
        ("a.test: 80", False),
        ("a.test:8_0", False),
        ("a:b:80", False),
    ],
)
def test_a_port_is_of_digits(authority: str, is_one: bool) -> None:
    """`int`, by which httpx reads it, takes more."""
    assert bool(HOST_AND_PORT.fullmatch(authority)) is is_one


@pytest.mark.parametrize(
    ("url", "ascii_url"),
    [
        ("http://\U0001f4a9.test/a", "http://xn--ls8h.test/a"),
        ("http://u:p@I\u2764\ufe0f.test:81", "http://u:p@xn--i-7iq.test:81"),
        ("http://www.\u2603\u3002test", "http://www.xn--n3h.test"),
        ("http://m\xfcnchen.test/", None),
        ("http://a.test/\U0001f4a9", None),
        ("http://\U0001f4a9 b.test/", None),
        ("http://\U0001f4a9\u2044b.test/", None),
        ("http://a.test/", None),
        ("http:///a", None),
        ("ftp://\U0001f4a9.test/", None),
    ],
)
def test_a_host_with_emoji_is_put_into_ascii(url: str, ascii_url: str | None) -> None:
    """Any other host is what IDNA 2008 makes of it."""
    assert with_ascii_host(url) == ascii_url


@pytest.mark.parametrize(
    ("host", "is_possible"),
    [
        ("a.test", True),
        ("a.test.", True),
        ("a_b.test", True),
        ("::1", True),
        ("fe80::1%1", True),
        ("", False),
        (".", False),
        ("a..test", False),
        ("a.test..", False),
        ("a b", False),
        ("a%20b", False),
        ("a/b", False),
        ("a@b", False),
        ("a" * 63, True),
        ("a" * 64, False),
        (".".join(["a" * 63] * 3 + ["a" * 61]) + ".", True),
        (".".join(["a" * 63] * 4), False),
    ],
)
def test_a_host_has_labels_of_one_to_63_characters(host: str, is_possible: bool) -> None:
    """And none that is forbidden in a domain."""
    assert is_possible_host(host) is is_possible
