from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._files._versions import (
    ContentRange,
    RangeHead,
    Version,
    identity_of,
    location_of,
    parse_content_range,
    plain_length,
    range_head,
    state_of,
    version_from,
    version_of,
)
from asyncbatch._values._sink import Head

URL = "https://example.org/file.bin"
MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
A_SECOND_LATER = "Sun, 06 Nov 1994 08:49:38 GMT"

pytestmark = pytest.mark.any_loop


@pytest.mark.parametrize(
    ("value", "found"),
    [
        # The examples of RFC 9110 §14.4.
        ("bytes 42-1233/1234", ContentRange(42, 1234, 1234)),
        ("bytes 42-1233/*", ContentRange(42, 1234, None)),
        ("bytes */1234", ContentRange(None, None, 1234)),
        ("BYTES 0-0/1", ContentRange(0, 1, 1)),
        ("bytes */0", ContentRange(None, None, 0)),
        ("bytes 0-999999999999999998/*", ContentRange(0, 999_999_999_999_999_999, None)),
    ],
)
def test_a_content_range_is_parsed(value: str, found: ContentRange) -> None:
    """By RFC 9110 §14.4; its last position is that of a byte that is there."""
    assert parse_content_range(value) == found


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "bytes",
        "bytes 5-4/10",  # the last byte before the first
        "bytes 5-10/10",  # a last byte that is not in the file (aria2 #926)
        "bytes=0-9/10",  # the grammar of requests (aria2 #509)
        "bytes: 0-9/10",
        "bytes 0-9",
        "bytes 0-/10",
        "bytes -9/10",
        "bytes */*",
        "bytes 0 - 9 / 10",
        "bytes  0-9/10",
        "bytes\t0-9/10",
        "bytes 0-9/10 ",
        "bytes 0-9/10, bytes 0-9/10",
        "bytes 0-4,5-9/10",
        "items 0-9/10",
        "bytes +0-9/10",
        "bytes 0x0-9/10",
        "bytes 0-9.0/10",
        "bytes -0.99999998516848",  # diversen/http-send-file #4
        "bytes \u0660-\u0669/10",
        "bytes 0-9999999999999999999/*",
        "bytes 0-9/10\n",
    ],
)
def test_anything_else_is_no_content_range(value: str | None) -> None:
    """What is not in the grammar, or says what cannot be, may mean anything."""
    assert parse_content_range(value) is None


@given(st.integers(0, 10**17), st.integers(1, 10**17), st.integers(0, 10**17))
def test_a_content_range_comes_back(start: int, count: int, more: int) -> None:
    """All numbers are those that were written."""
    end, length = start + count, start + count + more

    found = parse_content_range(f"bytes {start}-{end - 1}/{length}")

    assert found == ContentRange(start, end, length)


@pytest.mark.parametrize(
    ("etag", "modified", "date", "validator"),
    [
        ('"abc"', None, None, '"abc"'),
        ('"!#~"', MODIFIED, A_SECOND_LATER, '"!#~"'),
        # Not strong, so that two versions may share it.
        ('W/"abc"', None, None, None),
        ('W/"abc"', MODIFIED, A_SECOND_LATER, None),
        ('""', None, None, None),
        ("abc", MODIFIED, A_SECOND_LATER, None),
        ('"a"b"', None, None, None),
        ('"a", "b"', None, None, None),
        ('"ä"', None, None, None),
        ("", MODIFIED, A_SECOND_LATER, None),
        # A date, if the second was over when it was sent.
        (None, MODIFIED, A_SECOND_LATER, MODIFIED),
        (None, MODIFIED, "Mon, 07 Nov 1994 00:00:00 GMT", MODIFIED),
        (None, MODIFIED, MODIFIED, None),
        (None, A_SECOND_LATER, MODIFIED, None),
        (None, MODIFIED, None, None),
        (None, None, A_SECOND_LATER, None),
        (None, MODIFIED, "now", None),
        (None, "Sunday, 06-Nov-94 08:49:37 GMT", A_SECOND_LATER, None),
        (None, "Sun, 06 Nov 1994 08:49:37 +0000", A_SECOND_LATER, None),
        (None, "Sun, 36 Xyz 1994 99:99:99 GMT", A_SECOND_LATER, None),
        (None, None, None, None),
    ],
)
def test_a_validator_is_of_one_version_alone(
    etag: str | None, modified: str | None, date: str | None, validator: str | None
) -> None:
    """A strong entity tag, or a date that no later change can have (RFC 9110 §8.8)."""
    version = Version("", etag, modified, date)

    assert version.validator == validator


def test_a_head_is_read() -> None:
    """Names in any case; the blanks around values do not count."""
    fields = [
        (b"ETag", b' "abc"\t'),
        (b"LAST-MODIFIED", MODIFIED.encode()),
        (b"date", A_SECOND_LATER.encode()),
        (b"content-range", b"bytes 1-2/3"),
        (b"Content-Length", b"2"),
        (b"Content-Type", b"Multipart/ByteRanges; boundary=x"),
        (b"Content-Encoding", b"GZIP"),
    ]

    head = range_head(206, fields, URL)

    assert head == RangeHead(
        206,
        location_of(URL),
        etag='"abc"',
        last_modified=MODIFIED,
        date=A_SECOND_LATER,
        content_range="bytes 1-2/3",
        content_length=2,
        is_coded=True,
        is_multipart=True,
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], RangeHead(200, location_of(URL))),
        ([(b"content-encoding", b"Identity")], RangeHead(200, location_of(URL))),
        ([(b"content-encoding", b"")], RangeHead(200, location_of(URL))),
        ([(b"content-length", b"+5")], RangeHead(200, location_of(URL))),
        ([(b"content-length", b"5_0")], RangeHead(200, location_of(URL))),
        ([(b"content-type", b"video/mp4")], RangeHead(200, location_of(URL))),
        (
            [(b"etag", b'"a"'), (b"etag", b'"b"')],
            RangeHead(200, location_of(URL), etag='"a", "b"'),
        ),
    ],
)
def test_what_a_head_does_not_say_is_unknown(
    fields: list[tuple[bytes, bytes]], expected: RangeHead
) -> None:
    """Fields that are absent, malformed or there twice."""
    assert range_head(200, fields, URL) == expected


@pytest.mark.parametrize("is_coded", [False, True])
def test_a_version_comes_back_from_the_disk(is_coded: bool) -> None:
    """As it was written down; the length of a coded body is not that of the file."""
    head = RangeHead(200, "there", '"a"', MODIFIED, A_SECOND_LATER, None, 5, is_coded)

    version = version_of(head)

    assert version.length == (None if is_coded else 5)
    assert version_from(json.loads(json.dumps(state_of(version)))) == version


@pytest.mark.parametrize(
    "change",
    [
        {"location": None},
        {"location": 5},
        {"etag": 5},
        {"etag": '"a"\r\nX: y'},
        {"etag": "€"},
        {"last_modified": ["x"]},
        {"date": "\x00"},
        {"length": "5"},
        {"length": -1},
        {"length": True},
        {"length": 5.0},
        {"is_coded": None},
        {"is_coded": 1},
    ],
)
def test_what_was_changed_on_the_disk_is_no_version(change: dict[str, object]) -> None:
    """A value of another type, or one that no response had, such as one with a line end."""
    state = state_of(Version("there", '"a"', MODIFIED, A_SECOND_LATER, 5))

    assert version_from({**state, **change}) is None
    assert version_from({}) is None


@pytest.mark.parametrize(
    "other",
    [
        "http://example.org/file.bin",
        "https://user:secret@EXAMPLE.org/file.bin?signature=1#top",
        "https://example.org/file.bin?",
    ],
)
def test_a_location_is_a_host_and_a_path(other: str) -> None:
    """Whatever signs the URL, and whoever is asked as whom."""
    assert location_of(other) == location_of(URL)


@pytest.mark.parametrize(
    "other",
    [
        "https://mirror.example.org/file.bin",
        "https://example.org:8443/file.bin",
        URL + "/",
        URL[:-1],
    ],
)
def test_another_host_or_path_is_another_location(other: str) -> None:
    """A mirror may have another version by the same name."""
    assert location_of(other) != location_of(URL)


def test_an_identity_is_the_url_as_it_is_asked_for() -> None:
    """Its query is part of it; credentials and the fragment are not."""
    assert identity_of("https://u:p@example.org/file.bin#x") == identity_of(URL)
    assert identity_of(URL + "?id=1") != identity_of(URL + "?id=2")
    assert identity_of("http://example.org/file.bin") != identity_of(URL)


@pytest.mark.parametrize("digest", [location_of, identity_of])
def test_no_secret_is_in_a_digest(digest) -> None:
    """What is kept on the disk shows neither password, token nor path."""
    assert set(digest("https://user:secret@example.org/token?key=1")) <= set("0123456789abcdef")


LENGTH = (b"Content-Length", b"5")


@pytest.mark.parametrize(
    ("status", "fields", "length"),
    [
        (200, [LENGTH], 5),
        (200, [], None),
        (206, [LENGTH], None),
        (200, [LENGTH, LENGTH], None),
        (200, [(b"content-length", b"+5")], None),
        (200, [(b"content-length", b"5" * 19)], None),
        (200, [LENGTH, (b"content-encoding", b"gzip")], None),
        (200, [LENGTH, (b"Content-Range", b"bytes 0-4/5")], None),
    ],
)
def test_the_length_of_a_plain_body(
    status: int, fields: list[tuple[bytes, bytes]], length: int | None
) -> None:
    """Anything unusual in the head is looked at closer."""
    assert plain_length(Head(status, "GET", URL, fields, lambda: None)) == length
