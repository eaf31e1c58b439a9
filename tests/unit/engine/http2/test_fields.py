"""Requests from HTTP/1.1 to HTTP/2, and heads of responses back."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from asyncbatch._engine import http2
from asyncbatch._engine.http2 import RequestTranslator, check_installed
from asyncbatch._engine.http2._fields import HeadReader, trailers_of, unchunked
from asyncbatch._engine.http11 import (
    LAST_CHUNK,
    InvalidRequest,
    ProtocolError,
    ResponseTooLarge,
    encode_chunk,
    encode_fields,
    encode_request_line,
    parse_head,
)


def encoded(
    *fields: tuple[bytes, bytes], method: bytes = b"GET", target: bytes = b"/a?b=c"
) -> bytes:
    return encode_request_line(method, target) + encode_fields(fields).block


def test_a_request_becomes_fields_in_order_and_in_lower_case() -> None:
    """`Host` becomes the authority."""
    payload = encoded((b"Host", b"host.test:81"), (b"X-A", b"Value"), (b"accept", b"*/*"))

    assert RequestTranslator(is_tls=True).translate(payload) == (
        [
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":authority", b"host.test:81"),
            (b":path", b"/a?b=c"),
            (b"x-a", b"Value"),
            (b"accept", b"*/*"),
        ],
        b"",
        False,
    )


def test_fields_about_the_connection_are_left_out() -> None:
    """RFC 9113 §8.2.2: a server would refuse the request."""
    names = (b"Connection", b"Keep-Alive", b"Proxy-Connection", b"Upgrade", b"Transfer-Encoding")
    payload = encoded(
        (b"Host", b"a"), *((name, b"chunked") for name in names), (b"TE", b"trailers")
    )

    fields, _, is_chunked = RequestTranslator(is_tls=False).translate(payload)

    assert fields[1] == (b":scheme", b"http")
    assert fields[4:] == [(b"te", b"trailers")]
    assert is_chunked


def test_a_te_that_http2_forbids_is_refused() -> None:
    """It may only say `trailers`."""
    with pytest.raises(InvalidRequest, match="te"):
        RequestTranslator(is_tls=True).translate(encoded((b"Host", b"a"), (b"TE", b"gzip")))


@pytest.mark.parametrize("body", [b"", b"x", b"GET / HTTP/1.1\r\n\r\n", b"\r\n\r\n"])
def test_the_body_behind_the_head_is_kept(body: bytes) -> None:
    """Whatever it looks like."""
    payload = encoded((b"Host", b"a"), (b"Content-Length", b"%d" % len(body)), method=b"POST")

    fields, found, _ = RequestTranslator(is_tls=True).translate(payload + body)

    assert found == body
    assert fields[-1] == (b"content-length", b"%d" % len(body))


@pytest.mark.parametrize("pieces", [[], [b"abc"], [b"a" * 300, b"", b"\r\n0\r\n\r\n", b"z"]])
def test_a_body_in_chunks_loses_their_frames(pieces: list[bytes]) -> None:
    """HTTP/2 has frames of its own."""
    body = b"".join(map(encode_chunk, pieces)) + LAST_CHUNK
    payload = encoded((b"Host", b"a"), (b"Transfer-Encoding", b"chunked"), method=b"POST")

    assert unchunked(body) == b"".join(pieces)
    assert RequestTranslator(is_tls=True).translate(payload + body)[1] == b"".join(pieces)


def test_many_different_heads_are_not_all_kept() -> None:
    """Only so many of them are kept."""
    translator = RequestTranslator(is_tls=True)

    for number in range(500):
        fields, _, _ = translator.translate(encoded((b"Host", b"a"), (b"X-N", b"%d" % number)))
        assert fields[-1] == (b"x-n", b"%d" % number)

    assert len(translator._rests) <= 64


def test_a_long_head_is_not_kept() -> None:
    """It would hold memory for as long as its connection lives."""
    translator = RequestTranslator(is_tls=True)
    long = b"v" * 9000

    for _ in range(2):
        fields, _, _ = translator.translate(encoded((b"Host", b"a"), (b"X-N", long)))
        assert fields[-1] == (b"x-n", long)

    assert not translator._rests


def test_a_head_reads_as_one_of_http11() -> None:
    """The rest of the package looks for fields in its block."""
    head = HeadReader().read(((b":status", b"404"), (b"content-length", b"12"), (b"x", b"y: z")))
    same = parse_head(b"HTTP/1.1 404 Not Found\r\ncontent-length: 12\r\nx: y: z\r\n")

    assert (head.status, head.reason, head.fields) == (same.status, same.reason, same.fields)
    assert (head.length, head.is_coded) == (same.length, same.is_coded)
    assert head.block.partition(b"\r\n")[2] == same.block.partition(b"\r\n")[2]
    assert head.version == b"HTTP/2"


@pytest.mark.parametrize(
    ("fields", "length", "is_coded"),
    [
        (((b":status", b"204"), (b"content-length", b"5")), 0, False),
        (((b":status", b"304"), (b"content-encoding", b"gzip")), 0, True),
        (((b":status", b"200"),), -2, False),
        (((b":status", b"799"), (b"content-length", b"0")), 0, False),
    ],
)
def test_the_length_of_a_body_is_told_by_the_head(
    fields: tuple[tuple[bytes, bytes], ...], length: int, is_coded: bool
) -> None:
    """If it can be."""
    head = HeadReader().read(fields)

    assert (head.length, head.is_coded) == (length, is_coded)


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ((b"a", b"b"),),
        ((b":status", b"200"), (b"a", b"b\r\nc: d")),
        ((b":status", b"200"), (b"a\r\nb", b"c")),
        ((b":status", b"200"), (b"a", b"b\0")),
        ((b":status", b"200"), (b":path", b"/")),
        ((b":status", b"200 OK\r\na: b"),),
        ((b":status", b"100"),),
        ((b":status", "\uff12\uff10\uff10".encode()),),
    ],
)
def test_fields_that_would_break_lines_are_refused(
    fields: tuple[tuple[bytes, bytes], ...],
) -> None:
    """Also if an implementation of HTTP/2 let them pass."""
    with pytest.raises(ProtocolError):
        HeadReader().read(fields)


def test_a_head_has_the_limits_of_http11() -> None:
    """64 KiB, and 256 fields."""
    status = (b":status", b"200")

    assert HeadReader().read((status, *[(b"a", b"b")] * 256)).status == 200
    with pytest.raises(ResponseTooLarge):
        HeadReader().read((status, *[(b"a", b"b")] * 257))
    with pytest.raises(ResponseTooLarge):
        HeadReader().read((status, (b"a", b"b" * 65_536)))


def test_trailers_are_checked_as_well() -> None:
    """They become lines no less."""
    assert trailers_of(((b"x-sum", b"1"),)) == ((b"x-sum", b"1"),)
    with pytest.raises(ProtocolError):
        trailers_of(((b"a", b"b\nc"),))
    with pytest.raises(ResponseTooLarge):
        trailers_of(tuple([(b"a", b"b")] * 300))
    with pytest.raises(ResponseTooLarge, match="longer than"):
        trailers_of(((b"a", b"b" * 16_384),))


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is sent."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(ImportError, match=r"asyncbatch\[http2\]"):
        check_installed()


def test_the_package_needs_no_extra_to_be_imported() -> None:
    """Only a connection that speaks HTTP/2 does."""
    source = sys.modules[http2.__name__].__file__ or ""

    assert "ngh2" not in vars(http2)
    assert source.endswith("http2/__init__.py")
