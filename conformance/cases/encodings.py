"""
Content codings: odd ones, stacked ones, cut ones and corrupt ones.
"""

from __future__ import annotations

import gzip
import importlib
import zlib

from conformance._case import Case, Request, Reuse
from conformance._expected import either, fails, ok
from conformance._steps import Close, answer

from ._make import OK

_CODING = "RFC 9110 §8.4"
_TEXT = b"The quick brown fox jumps over the lazy dog. " * 20


def squeeze(content: bytes) -> bytes:
    """Return a gzip member."""
    return gzip.compress(content, mtime=0)


def raw_deflate(content: bytes) -> bytes:
    """Return a deflate stream without the zlib wrapper."""
    squeezer = zlib.compressobj(wbits=-15)
    return squeezer.compress(content) + squeezer.flush()


GZIP = squeeze(_TEXT)
ZLIB = zlib.compress(_TEXT)
RAW = raw_deflate(_TEXT)
# A member with every optional part of RFC 1952: extra field, name, comment, header checksum.
_FLAGS = (
    b"\x1f\x8b\x08\x1e\x00\x00\x00\x00\x00\x03" + b"\x04\x00abcd" + b"name\x00" + b"comment\x00"
)
FULL = _FLAGS + (zlib.crc32(_FLAGS) & 0xFFFF).to_bytes(2, "little") + GZIP[10:]


def coded(coding: bytes, body: bytes, head: bytes = OK) -> bytes:
    """Return a response with a length."""
    return head + b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (coding, len(body)) + body


def chunked(coding: bytes, body: bytes, size: int) -> bytes:
    """Return a response in chunks of `size` bytes."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return (
        OK
        + b"Content-Encoding: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % coding
        + chunks
        + b"0\r\n\r\n"
    )


def plain(name: str, source: str, wire: bytes, body: bytes = _TEXT, **more: object) -> Case:
    """Make a case that decodes."""
    return Case(
        name=name,
        source=source,
        script=answer(wire),
        expected=ok(body),
        reuse=Reuse.MUST,
        decided_by="decoding",
        **more,  # type: ignore[arg-type]
    )


def corrupt(name: str, source: str, wire: bytes, *kinds: str, **more: object) -> Case:
    """Make a case that does not decode, though all of it arrives."""
    return Case(
        name=name,
        source=source,
        script=answer(wire),
        expected=fails(*(kinds or ("decode",))),
        decided_by="decoding",
        **more,  # type: ignore[arg-type]
    )


VALID: tuple[Case, ...] = (
    plain("gzip", _CODING, coded(b"gzip", GZIP)),
    plain("gzip in capitals", _CODING, coded(b"GZIP", GZIP)),
    plain("gzip between blanks", _CODING, coded(b" \tgzip \t", GZIP)),
    plain("x-gzip", "RFC 9110 §8.4.1.3", coded(b"x-gzip", GZIP), needs=frozenset({"x-gzip"})),
    plain("gzip in chunks", _CODING, chunked(b"gzip", GZIP, 10)),
    plain("gzip in chunks of one byte", "urllib3 test_decode", chunked(b"gzip", GZIP, 1)),
    Case(
        name="gzip until the end",
        source=_CODING,
        script=answer(OK + b"Content-Encoding: gzip\r\n\r\n" + GZIP, Close()),
        expected=ok(_TEXT),
        decided_by="decoding",
    ),
    plain("gzip of nothing", "Go TestTransportGzip", coded(b"gzip", squeeze(b"")), b""),
    plain(
        "gzip, and no body", "Go: empty gzip body; httpx test_decoders", coded(b"gzip", b""), b""
    ),
    plain("gzip, and no chunks", "Go: empty gzip body", chunked(b"gzip", b"", 1), b""),
    plain(
        "gzip stored, not deflated",
        "RFC 1951 §3.2.4",
        coded(b"gzip", gzip.compress(_TEXT, 0, mtime=0)),
    ),
    plain(
        "gzip with name, comment, extra field and checksum", "RFC 1952 §2.3", coded(b"gzip", FULL)
    ),
    plain(
        "gzip of two members",
        "RFC 1952 §2.2; curl 22156",
        coded(b"gzip", squeeze(b"a" * 9) + squeeze(b"b" * 9)),
        b"a" * 9 + b"b" * 9,
    ),
    plain(
        "gzip of 100 members",
        "Kubernetes watch: a member for each event",
        coded(b"gzip", squeeze(b"x") * 100),
        b"x" * 100,
    ),
    plain(
        "gzip of members in chunks",
        "pydantic-ai 7159",
        chunked(b"gzip", squeeze(b"ab") * 5, 7),
        b"ab" * 5,
    ),
    plain(
        "gzip with an empty member between",
        "RFC 1952 §2.2",
        coded(b"gzip", squeeze(b"a") + squeeze(b"") + squeeze(b"b")),
        b"ab",
    ),
    plain(
        "gzip of 1 MB of zeros",
        "aiohttp: dense bodies are legitimate",
        coded(b"gzip", squeeze(bytes(1_000_000))),
        bytes(1_000_000),
    ),
    plain("deflate with its wrapper", "RFC 9110 §8.4.1.2", coded(b"deflate", ZLIB)),
    plain(
        "deflate without its wrapper",
        "RFC 9110 §8.4.1.2: some send it",
        coded(b"deflate", RAW),
        needs=frozenset({"raw deflate"}),
    ),
    plain(
        "deflate in chunks of one byte",
        "urllib3 test_decode_deflate_case_insensitve",
        chunked(b"deflate", ZLIB, 1),
    ),
    plain(
        "raw deflate in chunks of one byte",
        "urllib3 test_chunked_decoding_deflate2",
        chunked(b"deflate", RAW, 1),
        needs=frozenset({"raw deflate"}),
    ),
    plain("deflate of nothing", _CODING, coded(b"deflate", zlib.compress(b"")), b""),
    plain("deflate, and no body", _CODING, coded(b"deflate", b""), b""),
    plain("identity", "RFC 9110 §8.4: should not be sent", coded(b"identity", _TEXT)),
    plain("an empty coding field", "RFC 9110 §5.6.1.2", coded(b"", _TEXT)),
    plain("gzip with empty elements", "RFC 9110 §5.6.1.2", coded(b", gzip ,", GZIP)),
    plain("identity and gzip", _CODING, coded(b"identity, gzip", GZIP)),
    plain(
        "deflate, gzip",
        "RFC 9110 §8.4: in the order applied",
        coded(b"deflate, gzip", squeeze(ZLIB)),
        needs=frozenset({"stacked codings"}),
    ),
    plain(
        "gzip, deflate",
        "RFC 9110 §8.4: in the order applied",
        coded(b"gzip, deflate", zlib.compress(GZIP)),
        needs=frozenset({"stacked codings"}),
    ),
    plain(
        "gzip, gzip",
        "curl test 387, from below",
        coded(b"gzip, gzip", squeeze(GZIP)),
        needs=frozenset({"stacked codings"}),
    ),
    plain(
        "codings in two fields",
        "RFC 9110 §5.3",
        OK + b"Content-Encoding: deflate\r\n" + coded(b"gzip", squeeze(ZLIB), b""),
        needs=frozenset({"stacked codings"}),
    ),
    plain(
        "five codings",
        "curl, urllib3, undici: at most 5",
        coded(b"gzip, gzip, gzip, gzip, gzip", squeeze(squeeze(squeeze(squeeze(GZIP))))),
        needs=frozenset({"stacked codings"}),
    ),
    plain("br, and no body", _CODING, coded(b"br", b""), b""),
    plain("zstd, and no body", _CODING, coded(b"zstd", b""), b""),
    Case(
        name="gzip of an error",
        source="a status does not change the coding",
        script=answer(coded(b"gzip", GZIP, b"HTTP/1.1 404 X\r\n")),
        expected=ok(_TEXT, 404),
        decided_by="decoding",
    ),
    Case(
        name="gzip with a second response behind it",
        source="RFC 9112 §6.3",
        script=answer(coded(b"gzip", GZIP) + coded(b"gzip", squeeze(b"EVIL"))),
        expected=ok(_TEXT),
        reuse=Reuse.MUST_NOT,
        decided_by="decoding",
    ),
)

_SPOILT = bytearray(GZIP)
_SPOILT[len(GZIP) // 2] ^= 0xFF

BROKEN: tuple[Case, ...] = (
    corrupt(
        "gzip that is not",
        "Go TestTransportGzipRecursive; urllib3 test_decode_bad_data",
        coded(b"gzip", b"this is no gzip"),
    ),
    corrupt(
        "gzip that is HTML",
        "browsers: ERR_CONTENT_DECODING_FAILED",
        coded(b"gzip", b"<html></html>"),
    ),
    corrupt("gzip that is deflate", _CODING, coded(b"gzip", ZLIB)),
    corrupt("deflate that is gzip", _CODING, coded(b"deflate", GZIP)),
    corrupt(
        "gzip with a bad checksum",
        "RFC 1952 §2.3.1",
        coded(b"gzip", GZIP[:-8] + b"\x00\x00\x00\x00" + GZIP[-4:]),
    ),
    corrupt(
        "gzip with a bad length", "RFC 1952 §2.3.1", coded(b"gzip", GZIP[:-4] + b"\x00\x00\x00\x01")
    ),
    corrupt(
        "gzip with a bad method",
        "curl test 221; RFC 1952 §2.3.1",
        coded(b"gzip", GZIP[:2] + b"\x07" + GZIP[3:]),
    ),
    corrupt(
        "gzip with reserved flags",
        "RFC 1952 §2.3.1.2",
        coded(b"gzip", GZIP[:3] + b"\xe0" + GZIP[4:]),
    ),
    corrupt(
        "gzip spoilt in the middle",
        "reqwest tests/gzip.rs",
        coded(b"gzip", bytes(_SPOILT)),
        "decode",
        "truncated",
    ),
    corrupt(
        "gzip spoilt in chunks",
        "reqwest tests/gzip.rs",
        chunked(b"gzip", bytes(_SPOILT), 9),
        "decode",
        "truncated",
    ),
    corrupt(
        "gzip cut in its head",
        "Go TestTransportGzipShort",
        coded(b"gzip", GZIP[:5]),
        "truncated",
        "decode",
    ),
    corrupt(
        "gzip of one byte",
        "Go TestTransportGzipShort",
        coded(b"gzip", GZIP[:1]),
        "truncated",
        "decode",
    ),
    corrupt(
        "gzip cut in its content",
        "Go TestTransportGzipShort",
        coded(b"gzip", GZIP[:30]),
        "truncated",
        "decode",
    ),
    corrupt(
        "gzip without its trailer",
        "Go TestTransportGzipShort",
        coded(b"gzip", GZIP[:-8]),
        "truncated",
        "decode",
    ),
    corrupt(
        "gzip cut by one byte",
        "Go TestTransportGzipShort",
        coded(b"gzip", GZIP[:-1]),
        "truncated",
        "decode",
    ),
    corrupt(
        "gzip cut in chunks",
        "Go TestTransportGzipShort",
        chunked(b"gzip", GZIP[:-4], 9),
        "truncated",
        "decode",
    ),
    corrupt(
        "gzip with its second member cut",
        "RFC 1952 §2.2",
        coded(b"gzip", GZIP + GZIP[:20]),
        "truncated",
        "decode",
    ),
    corrupt(
        "gzip with its second member spoilt",
        "RFC 1952 §2.2",
        coded(b"gzip", GZIP + bytes(_SPOILT)),
        "truncated",
        "decode",
    ),
    corrupt("deflate that is not", _CODING, coded(b"deflate", b"\xffthis is no deflate")),
    corrupt(
        "deflate cut",
        "reqwest tests/deflate.rs",
        coded(b"deflate", ZLIB[:-6]),
        "truncated",
        "decode",
    ),
    corrupt(
        "raw deflate cut",
        "reqwest tests/deflate.rs",
        coded(b"deflate", RAW[:-3]),
        "truncated",
        "decode",
        needs=frozenset({"raw deflate"}),
    ),
    corrupt(
        "deflate of one byte",
        "reqwest tests/deflate.rs",
        coded(b"deflate", ZLIB[:1]),
        "truncated",
        "decode",
    ),
    corrupt(
        "deflate with a bad checksum", "RFC 1950 §2.2", coded(b"deflate", ZLIB[:-4] + b"\x00" * 4)
    ),
    corrupt(
        "the inner one of two codings spoilt",
        _CODING,
        coded(b"gzip, deflate", zlib.compress(bytes(_SPOILT))),
        "decode",
        "truncated",
        needs=frozenset({"stacked codings"}),
    ),
    corrupt(
        "the inner one of two codings cut",
        _CODING,
        coded(b"gzip, deflate", zlib.compress(GZIP[:-8])),
        "truncated",
        "decode",
        needs=frozenset({"stacked codings"}),
    ),
    corrupt(
        "six codings",
        "curl test 387; urllib3 GHSA-gm62-xv2j-4w53",
        coded(
            b"gzip, gzip, gzip, gzip, gzip, gzip", squeeze(squeeze(squeeze(squeeze(squeeze(GZIP)))))
        ),
    ),
    corrupt(
        "1,000 codings",
        "undici CVE-2026-22036; curl CVE-2023-23916",
        coded(b", ".join([b"gzip"] * 1000), GZIP),
    ),
    corrupt(
        "10 MB of zeros in gzip past `max_body`",
        "urllib3 GHSA-mf9v-mfxr-j63j",
        coded(b"gzip", squeeze(bytes(10_000_000))),
        "too_large",
        request=Request(max_body=100_000),
    ),
    corrupt(
        "10 MB of zeros in deflate past `max_body`",
        "aiohttp CVE-2025-69223",
        coded(b"deflate", zlib.compress(bytes(10_000_000))),
        "too_large",
        request=Request(max_body=100_000),
    ),
    corrupt(
        "10 MB of zeros in two codings past `max_body`",
        "urllib3 GHSA-gm62-xv2j-4w53",
        coded(b"gzip, gzip", squeeze(squeeze(bytes(10_000_000)))),
        "too_large",
        request=Request(max_body=100_000),
        needs=frozenset({"stacked codings"}),
    ),
    Case(
        name="gzip cut with its connection",
        source="Go TestTransportGzipShort",
        script=answer(
            OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(GZIP) + GZIP[:20],
            Close(),
        ),
        expected=fails("truncated"),
        decided_by="decoding",
    ),
    Case(
        name="gzip until the end, cut",
        source="Go TestTransportGzipShort",
        script=answer(OK + b"Content-Encoding: gzip\r\n\r\n" + GZIP[:-10], Close()),
        expected=fails("truncated", "decode"),
        decided_by="decoding",
    ),
)


def _open(name: str, source: str, wire: bytes, body: bytes, reason: str) -> Case:
    return Case(
        name=name,
        source=source,
        script=answer(wire),
        expected=either(ok(body), "decode", reason=reason),
        decided_by="decoding",
    )


_UNKNOWN = "a client may hand on what it does not know, or refuse it"

UNCLEAR: tuple[Case, ...] = (
    _open("an unknown content coding", "RFC 9110 §8.4", coded(b"rot13", _TEXT), _TEXT, _UNKNOWN),
    _open(
        "a charset for a coding",
        "servers that take it for a charset",
        coded(b"utf-8", _TEXT),
        _TEXT,
        _UNKNOWN,
    ),
    _open("none for a coding", "curl test 328", coded(b"none", _TEXT), _TEXT, _UNKNOWN),
    _open("compress", "RFC 9110 §8.4.1.1", coded(b"compress", _TEXT), _TEXT, _UNKNOWN),
    _open("aws-chunked", "S3 hands it back", coded(b"aws-chunked", _TEXT), _TEXT, _UNKNOWN),
    _open(
        "gzip with NUL behind it",
        "gzip(1) takes it for padding",
        coded(b"gzip", GZIP + bytes(10)),
        _TEXT,
        "padding, or rubbish",
    ),
    _open(
        "gzip with rubbish behind it",
        "urllib3 ignores it, Go refuses it",
        coded(b"gzip", GZIP + b"rubbish"),
        _TEXT,
        "rubbish, or a part of the body",
    ),
    _open(
        "gzip with a line end behind it",
        "urllib3 ignores it, Go refuses it",
        coded(b"gzip", GZIP + b"\r\n"),
        _TEXT,
        "rubbish, or a part of the body",
    ),
    _open(
        "deflate with rubbish behind it",
        "as with gzip",
        coded(b"deflate", ZLIB + b"rubbish"),
        _TEXT,
        "rubbish, or a part of the body",
    ),
    _open(
        "gzip and an unknown coding", "RFC 9110 §8.4", coded(b"gzip, rot13", GZIP), _TEXT, _UNKNOWN
    ),
)


def _has(*names: str) -> bool:
    """Say whether one of these packages is installed."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
        return True
    return False


# What br and zstd make of `_SHORT`; written down, so that the table needs no package for it.
_SHORT = b"hello hello hello hello hello"
_BR = bytes.fromhex("1b1c00f88d946ede445586966c206f414f1c2071")
_ZSTD = bytes.fromhex("28b52ffd241d6500003068656c6c6f200100a94b11874e200a")
_SKIPPABLE = b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip"

BR: tuple[Case, ...] = (
    plain("br", "RFC 7932", coded(b"br", _BR), _SHORT),
    plain("br in chunks of one byte", "RFC 7932", chunked(b"br", _BR, 1), _SHORT),
    plain(
        "br, gzip",
        "RFC 9110 §8.4",
        coded(b"br, gzip", squeeze(_BR)),
        _SHORT,
        needs=frozenset({"stacked codings"}),
    ),
    corrupt("br cut", "reqwest tests/brotli.rs", coded(b"br", _BR[:-3]), "truncated", "decode"),
    corrupt("br that is not", "reqwest tests/brotli.rs", coded(b"br", b"\xff" * 30)),
)
ZSTD: tuple[Case, ...] = (
    plain("zstd", "RFC 8878", coded(b"zstd", _ZSTD), _SHORT),
    plain("zstd in chunks of one byte", "RFC 8878", chunked(b"zstd", _ZSTD, 1), _SHORT),
    plain("zstd of two frames", "RFC 8878 §3", coded(b"zstd", _ZSTD * 2), _SHORT * 2),
    plain(
        "zstd with a frame to skip", "RFC 8878 §3.1.2", coded(b"zstd", _SKIPPABLE + _ZSTD), _SHORT
    ),
    corrupt("zstd cut", "reqwest tests/zstd.rs", coded(b"zstd", _ZSTD[:-6]), "truncated", "decode"),
    corrupt(
        "zstd with a bad checksum", "RFC 8878 §3.1.1", coded(b"zstd", _ZSTD[:-4] + b"\x00" * 4)
    ),
    corrupt("zstd that is not", "reqwest tests/zstd.rs", coded(b"zstd", b"this is no zstd")),
)

CASES = (
    VALID
    + BROKEN
    + UNCLEAR
    + (BR if _has("brotli", "brotlicffi") else ())
    + (ZSTD if _has("compression.zstd", "backports.zstd", "zstandard") else ())
)
