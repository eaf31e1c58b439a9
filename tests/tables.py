"""Results of every kind, and what a table must say of each, for tests of tables."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import httpx
from hypothesis import strategies

from asyncbatch import FailureKind, Result, Timing
from asyncbatch._values._redaction import redacted_url
from asyncbatch.testing import failure, success

BEGAN = datetime(2026, 11, 29, 12, 30, 15, 123457, tzinfo=UTC)
TIMING = Timing(queued=0.25, throttled=0.5, dns=0.125, connect=0.0625, tls=0.5, send=0.0, wait=1.0)

NAMES = strategies.text("abcdefghij-ABC", min_size=1, max_size=8).map(str.encode)
VALUES = strategies.binary(max_size=20).map(lambda value: bytes(set(value) - {0}))
HEADERS = strategies.lists(strategies.tuples(NAMES, VALUES), max_size=4)
SIMPLE_TAGS = {
    "text": strategies.text(strategies.characters(codec="utf-8"), max_size=10),
    "int": strategies.integers(-(2**63), 2**63 - 1),
    "float": strategies.floats(allow_nan=False, allow_infinity=False),
    "bool": strategies.booleans(),
}
MIXED_TAGS = strategies.one_of(
    *SIMPLE_TAGS.values(), strategies.binary(max_size=4), strategies.tuples(strategies.integers())
)


def every_kind() -> list[Result]:
    """Return successes: plain, of a journal, in a file, of one that was there; and all failures."""
    url = "https://example.org/"
    made: list[Any] = [
        success(
            url, text="body", headers=[("X-A", "1"), ("x-a", "2")], started=BEGAN, timing=TIMING
        ),
        success(url, content=b"\xff\x00", method="POST", status_code=201, elapsed=1.5, attempts=3),
        attrs.evolve(success(url, text="kept", started=BEGAN), from_journal=True),
        attrs.evolve(success(url, started=BEGAN), saved=(Path("folder/file"), 7, None)),
        attrs.evolve(success(url, attempts=0), saved=(Path("there"), 3, None), response=None),
        *(failure(url, kind=kind, elapsed=0.5) for kind in FailureKind),
        failure("ftp://example.org/", kind="invalid_request"),
        failure(url, kind="callback", status_code=200, text="not what it should be"),
        failure("https://user:secret@example.org/", kind="connect"),
    ]
    return [attrs.evolve(each, index=place) for place, each in enumerate(made)]


def expected(result: Result) -> dict[str, Any]:
    """Return the record of a result without a tag, made of its public properties."""
    error = None if result.ok else result.error
    text = "" if error is None else str(error)
    timing = attrs.asdict(result.timing)
    url = str(result.request.url)
    return {
        "index": result.index,
        "tag": None,
        "url": redacted_url(url),
        "final_url": None if result.url is None else redacted_url(result.url),
        "method": result.request.method,
        "status": result.status_code,
        "ok": result.ok,
        "kind": None if result.kind is None else str(result.kind),
        "error": None
        if error is None
        else f"{type(error).__name__}: {text}".replace(url, redacted_url(url)),
        "attempts": result.attempts,
        "content": result.content,
        "headers": tuple(result.headers.multi_items()),
        "from_journal": result.from_journal,
        "path": None if result.path is None else str(result.path),
        "started": result.started,
        "elapsed": result.elapsed,
        **timing,
    }


def tagged(tags: list[Any], headers: Any = (), content: bytes = b"x") -> list[Result]:
    """Return successes with these tags."""
    return [
        success(tag=tag, index=place, headers=headers, content=content, started=BEGAN)
        for place, tag in enumerate(tags)
    ]


def sent(status: int, url: str) -> httpx.Response:
    """Return a response to a request for a URL."""
    return httpx.Response(status, request=httpx.Request("GET", url))
