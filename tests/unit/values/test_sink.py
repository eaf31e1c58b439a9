"""What is handed over to a sink, and what comes of it."""

from __future__ import annotations

from pathlib import Path

from asyncbatch import FailureKind
from asyncbatch._values._sink import Head, Mismatch, Saved, SinkFailure, TooLarge


def test_a_head_gives_its_fields_by_name():
    """In lower case, each value as received."""
    raw = [(b"ETag", b'"1"'), (b"X-A", b"1"), (b"x-a", b"2")]
    head = Head(200, "GET", "http://host.test/", raw, lambda: None)

    assert head.values(b"etag") == [b'"1"']
    assert head.values(b"x-a") == [b"1", b"2"]
    assert head.values(b"x-b") == []


def test_a_failure_says_what_it_is():
    """By its text, or that of its error."""
    assert str(SinkFailure(FailureKind.disk, error=OSError("no space"))) == "no space"
    assert str(SinkFailure(FailureKind.protocol, "a lie")) == "a lie"
    assert (TooLarge(7).kind, TooLarge(7).limit) == (FailureKind.too_large, 7)
    assert Mismatch("md5:a", "md5:b", again=True).kind is FailureKind.checksum


def test_a_saved_file_can_be_a_plain_tuple():
    """Which pickles without a private name."""
    plain = Saved(Path("x"), 7, 3).plain()

    assert type(plain) is tuple
    assert plain == (Path("x"), 7, 3)
