"""The grammar of URLs."""

from __future__ import annotations

import enum
from typing import Any

import httpx
import pytest

from asyncbatch._values._urls import (
    ABSOLUTE,
    is_possible_host,
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


@pytest.mark.parametrize("url", ["http:b", " HTTP://b", "//b", "mailto:b", ":b"])
def test_what_names_a_scheme_or_a_host_is_not_relative(url: str) -> None:
    """Httpx would join the rest to it."""
    assert ABSOLUTE.match(url)


@pytest.mark.parametrize("url", ["b", "/b", "?b", "b/c:d", "1:b", "./a:b", ""])
def test_what_names_neither_is_relative(url: str) -> None:
    """A colon in a later segment is no scheme."""
    assert not ABSOLUTE.match(url)


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
