"""Masking of secrets in URLs, header fields and texts of errors, before they go to a file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._values._masking import (
    _SECRET_VALUE,
    MASK,
    has_secrets,
    kept_fields,
    masked_text,
    masked_url,
)
from asyncbatch._values._redaction import _AT_FORMS, redacted_url


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("http://host.test/a?b=1", None),
        ("http://host.test/keys?monkey=1&page=2&author=x&design=3", None),
        ("http://user:word@host.test/a", "http://[secure]@host.test/a"),
        ("http://host.test/?api_key=abc&b=1", "http://host.test/?api_key=[secure]&b=1"),
        ("http://host.test/?b=1&access_token=abc", "http://host.test/?b=1&access_token=[secure]"),
        ("http://host.test/?X-Amz-Signature=abc", "http://host.test/?X-Amz-Signature=[secure]"),
        ("http://host.test/?sig=a%2Fb&se=1", "http://host.test/?sig=[secure]&se=1"),
        ("http://host.test/?key=abc", "http://host.test/?key=[secure]"),
        ("http://host.test/?PASSWORD=abc", "http://host.test/?PASSWORD=[secure]"),
        ("http://host.test/#access_token=abc", "http://host.test/#access_token=[secure]"),
        ("http://host.test/?code=abc;sid=1", "http://host.test/?code=[secure];sid=[secure]"),
    ],
)
def test_secrets_of_a_url_are_masked(url: str, masked: str | None) -> None:
    """User name, password, and values of parameters whose names say so."""
    assert masked_url(url) == (masked or url)
    assert has_secrets(url) is (masked is not None)
    assert masked_url(masked_url(url)) == masked_url(url)


@given(st.lists(st.sampled_from([*"ab:/?#=&;.", *_AT_FORMS, "http://", "?key", "=1"])).map("".join))
def test_most_urls_are_seen_to_hide_nothing_at_once(url: str) -> None:
    """The quick look says what the whole way says."""
    whole = _SECRET_VALUE.sub(rf"\1={MASK}", redacted_url(url))

    assert masked_url(url) == whole
    assert has_secrets(url) is (whole != url)


def test_fields_with_secrets_are_left_out() -> None:
    """Those that set cookies or carry credentials; the others stay, in their order."""
    fields = [
        (b"Content-Type", b"text/plain"),
        (b"Set-Cookie", b"a=b"),
        (b"set-cookie2", b"a=b"),
        (b"Authorization", b"x"),
        (b"Proxy-Authenticate", b"x"),
        (b"WWW-Authenticate", b"Digest nonce=1"),
        (b"Authentication-Info", b"x"),
        (b"X-Auth-Token", b"x"),
        (b"x-api-key", b"x"),
        (b"ETag", b'"1"'),
        (b"ETag", b'"2"'),
    ]

    assert kept_fields(fields) == [fields[0], fields[-2], fields[-1]]


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        (b"Location", b"https://u:p@host.test/", b"https://[secure]@host.test/"),
        (b"location", b"/n\xe9xt", b"/n\xe9xt"),
        (b"location", b"/next?token=abc&a=1", b"/next?token=[secure]&a=1"),
        (b"Link", b'</a?sig=x>; rel="next"', b'</a?sig=[secure]>; rel="next"'),
        (b"Refresh", b"5; url=/a?key=x", b"5; url=/a?key=[secure]"),
        (b"ETag", b"token=abc", b"token=abc"),
    ],
)
def test_secrets_in_the_urls_of_fields_are_masked(name: bytes, value: bytes, kept: bytes) -> None:
    """As in the target of a redirect."""
    assert kept_fields([(name, value)]) == [(name, kept)]


def test_the_text_of_an_error_shows_no_secret_of_its_url() -> None:
    """Neither in the URL as it is, nor by itself."""
    url = "http://me:hush@host.test/?token=abcdef"

    text = masked_text(f"cannot fetch {url}: hush, abcdef, http://x:y@z/?key=q", url)

    for secret in ("hush", "abcdef", "x:y", "key=q"):
        assert secret not in text
    assert "host.test" in text


def test_what_is_cut_off_is_redacted_before() -> None:
    """Masking would not recognise the first half of a password that is cut."""
    url = f"http://user:{'word' * 100}@host.test/?key={'secret' * 100}"

    assert masked_url(url, most=40) == "http://[secure]@host.test/?key=[secure]"
    assert masked_url(url, most=20) == "http://[secure]@host"[:20]
