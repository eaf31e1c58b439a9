"""Plain URLs, held against httpx, which has the last word."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncbatch._values._plain_urls import MAX_PLAIN_LENGTH, SIMPLE_TARGET, split_plain


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
