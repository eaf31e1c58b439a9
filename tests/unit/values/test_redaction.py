"""What is shown of a URL: all but the user name and the password, however it is spelt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._values._redaction import (
    redacted,
    redacted_url,
    redacted_urls,
    secrets_in,
    shown,
    without,
)
from tests.spellings import SECRET, misspelt


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("for url 'http://a:b@h/x'", "for url 'http://[secure]@h/x'"),
        ("http://token@h/", "http://[secure]@h/"),
        ("http://a:b@c@h/", "http://[secure]@h/"),
        ("http://h/a@b", "http://h/a@b"),
        ("http://h?a=b@c", "http://h?a=b@c"),
        ("no URL: a@b", "no URL: a@b"),
        ("//a:b@h/", "//[secure]@h/"),
        ("http://a:b/c@h/", "http://[secure]@h/"),
        ("http://a:b\\@h/", "http://[secure]@h/"),
        ("http://h:80/@b", "http://h:80/@b"),
        ("http://[::1]:80/@b", "http://[::1]:80/@b"),
        ("'http://h:80' and a@b", "'http://h:80' and a@b"),
        ("http://h//a@2x and http://a:b@h//a@2x", "http://h//a@2x and http://[secure]@h//a@2x"),
    ],
)
def test_userinfo_is_taken_out_of_texts(text: str, shown: str) -> None:
    """And nothing else is."""
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "url",
    [
        *("http://h/img//icon@2x.png", "http://h//@ada/toot", "http://h/go?to=//x@y"),
        *("http://h/a//b:c/d@e", "http://h/#a@b", "http://h:80/a@b", "http://h:/a@b", "//h/a@b"),
        *("http://[::1]:80/@x", "ftp://h/a@b", "http://h/%40b", "http://h/a b@c", " http://h/a@b"),
        *("/img/icon@2x.png", "/@ada/toot", "users/joe@host.test", "?mail=a@b"),
        *("http://h_h/a@b", "http://\u00e4.test/a@b", "http://xn--ls8h.test/@a", "http://h./a@b"),
    ],
)
def test_an_at_sign_behind_the_host_stays(url: str) -> None:
    """An authority ends at the first slash (RFC 3986 §3.2), and a path is what is asked for."""
    assert redacted_url(url) == url


def test_nothing_before_the_at_sign_of_a_misspelt_url_is_shown() -> None:
    """Wherever the password ends, it is before that."""
    for show in (redacted_url, shown, lambda url: shown([url])):
        assert [url for url in misspelt() if SECRET in show(url)] == []


def test_a_password_in_a_url_within_a_url_is_hidden() -> None:
    """With its scheme and a colon it is nothing else."""
    assert redacted_url("http://h/?to=http://a:b@c/") == "http://h/?to=http://[secure]@c/"


def test_a_long_password_is_hidden_before_the_text_is_cut() -> None:
    """Cut first, the rest would have no at sign."""
    assert SECRET not in shown(f"http://joe:{SECRET}{'a' * 5000}@host.test/")
    assert SECRET not in shown([f"http://joe:{SECRET}{'a' * 5000}@host.test/"])


def test_the_words_of_a_password_are_known() -> None:
    """As they stand, and as they are quoted."""
    assert secrets_in("http://joe:p w@host.test/") == {"joe", "p", "w"}
    assert secrets_in("http://j\u00f6e@host.test/") == {"j\u00f6e", "j%C3%B6e"}
    assert secrets_in("http://host.test/@a") == set()


@pytest.mark.parametrize(
    "part", ["http://", "http://a:", "//", "a@", "://:", ":", "://a:", "%40", "'"]
)
@pytest.mark.parametrize("end", ["", "@"])
def test_userinfo_is_looked_for_in_linear_time(part: str, end: str) -> None:
    """However a stranger's text is made."""
    text = part * (400_000 // len(part)) + end

    redacted(text)
    redacted_url(text)
    redacted_url(end + text)


@given(st.lists(st.text("/:@%40EFBCA9a\uff20\ufe6bé", max_size=30), max_size=5))
def test_urls_that_are_taken_together_are_redacted_as_each_of_them(paths: list[str]) -> None:
    """Whichever form of the at sign is in one of them."""
    urls = [f"http://u:p{path}" for path in paths]

    assert redacted_urls(urls) == [redacted_url(url) for url in urls]


@pytest.mark.parametrize(
    ("secrets", "text", "shown"),
    [
        ({"hush"}, "not hush, hushed", "not [secure], [secure]ed"),
        ({"p"}, "port 1: 'p' is wrong", "port 1: '[secure]' is wrong"),
        ({"secure", "sec"}, "[secure] sec", "[secure] [secure]"),
        ({"ab.", "ab.c"}, "ab.c abxc ab.", "[secure] abxc [secure]"),
        (set(), "as it was", "as it was"),
    ],
)
def test_a_mask_is_in_the_place_of_each_secret(secrets: set[str], text: str, shown: str) -> None:
    """The rest stays; a short one is found as a word only."""
    assert without(secrets, text) == shown


class Unprintable:
    def __repr__(self) -> str:
        raise ZeroDivisionError


def test_what_cannot_be_printed_is_shown_by_its_type() -> None:
    """The message that it is in is about something else."""
    assert shown(Unprintable()) == "<Unprintable object>"
