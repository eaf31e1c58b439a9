"""
Write the seed corpora: what the targets start from, made from the tables of the suite.

Run it as `python -m fuzz.make_corpus` after a table has changed; seeds that are there and not in
the table any more stay, since they may be findings.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import brotli
import zstandard

from tests.unit.engine.http2.test_session import CONVERSATION, HARMLESS, STREAM_ERRORS
from tests.unit.engine.http11.messages import MALFORMED, TRUNCATED, VALID, Message

RESPONSES = Path(__file__).parent / "corpus"
CONVERSATIONS = Path(__file__).parent / "corpus-http2"
BODIES = Path(__file__).parent / "corpus-decoding"
LONGEST = 2048

TEXT = b'{"index": 1, "name": "n7919"}\n' * 8


def plan_of(message: Message) -> bytes:
    """Choose a plan by the message's name, so that the seeds differ and do not change."""
    digest = hashlib.sha256(message.name.encode()).digest()
    flags = (message.method == b"HEAD") | (digest[0] & 12)
    return bytes([flags, *(byte % 32 for byte in digest[1:5])])


def responses() -> Iterator[tuple[str, bytes]]:
    """Yield each message of the table that is not too long, with one plan."""
    for message in VALID + MALFORMED + TRUNCATED:
        if len(message.wire) <= LONGEST:
            name = re.sub(r"[^a-z0-9]+", "-", message.name.lower()).strip("-")
            yield name, plan_of(message) + message.wire


def conversations() -> Iterator[tuple[str, bytes]]:
    """Yield what servers send over HTTP/2, sound and not."""
    rows = {"conversation": CONVERSATION, **HARMLESS}
    rows.update({str(row.id): b"".join(row.values[0]) for row in STREAM_ERRORS})
    for name, content in rows.items():
        if len(content) <= LONGEST:
            number = hashlib.sha256(name.encode()).digest()[0]
            plan = bytes([number, number // 2, name != "conversation", 0])
            yield re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"), plan + content


def bodies() -> Iterator[tuple[str, bytes]]:
    """Yield bodies in each coding, several members or frames of them, and plain ones to encode."""
    zstd = zstandard.ZstdCompressor(write_checksum=True).compress
    encoded = {
        "gzip": gzip.compress(TEXT, mtime=0) + gzip.compress(b"x", mtime=0) + bytes(2),
        "deflate": zlib.compress(TEXT),
        "br": brotli.compress(TEXT),
        "zstd": zstd(TEXT) + zstd(b"x"),
    }
    for number, (name, body) in enumerate(encoded.items()):
        for flags in (0, 0x10):
            yield f"{name}-{flags:02x}", _decoding_plan(flags, 1, number) + body
    # As they are, cut, corrupted, and raw where it is deflate; one coding and two, large and small.
    for flags in (0x01, 0x03, 0x05, 0x09, 0x11):
        for codings, picks in ((1, 0x00), (1, 0x01), (1, 0x02), (1, 0x03), (2, 0x10), (2, 0x32)):
            for length, plain in (("short", TEXT[:20]), ("dense", bytes(3000))):
                name = f"plain-{flags:02x}-{codings}-{picks:02x}-{length}"
                yield name, _decoding_plan(flags, codings, picks) + plain


def _decoding_plan(flags: int, codings: int, picks: int) -> bytes:
    return bytes([flags, codings, picks, 0x21, 0x03, 7, 3, 4, 100])


def main() -> None:
    """Write one file for each seed."""
    targets = (
        (RESPONSES, responses()),
        (BODIES, bodies()),
        (CONVERSATIONS, conversations()),
    )
    for folder, seeds in targets:
        folder.mkdir(exist_ok=True)
        for name, content in seeds:
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
