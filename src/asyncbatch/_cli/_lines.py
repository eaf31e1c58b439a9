"""
A result as a line of text, or as JSON.

A line shows no headers, no bodies, and no user name and password of a URL. A URL may come from a
stranger, so control characters, which a terminal would obey, are escaped.
"""

from __future__ import annotations

import json
from typing import Any

import attrs

from asyncbatch import Failure, Result
from asyncbatch._values._errors import message_of
from asyncbatch._values._redaction import redacted, redacted_url, secrets_in


def plain_line(result: Result) -> str:
    """Return the line of `result`: status or kind, seconds, bytes, URL, and the error."""
    url = str(result.request.url)
    what, error = str(result.status_code or "exists"), ""
    if isinstance(result, Failure) and result.response is None:
        what, error = str(result.kind), f"  {_shown(_message(result.error, url))}"
    seconds, size = f"{result.elapsed:.3f}", result.size
    return f"{what:<15} {seconds:>9} {size:>10} {_shown(redacted_url(url))}{error}\n"


def json_line(result: Result) -> str:
    """Return `result` as a JSON object on one line, in ASCII."""
    url = str(result.request.url)
    failure = result if isinstance(result, Failure) else None
    record: dict[str, Any] = {
        "index": result.index,
        "url": redacted_url(url),
        "final_url": None if result.url is None else redacted_url(result.url),
        "ok": result.ok,
        "status": result.status_code,
        "kind": failure and str(failure.kind),
        "error": failure and _message(failure.error, url),
        "elapsed": round(result.elapsed, 6),
        "timing": {
            name: None if seconds is None else round(seconds, 6)
            for name, seconds in attrs.asdict(result.timing).items()
        },
        "attempts": result.attempts,
        "bytes": result.size,
        "path": None if result.path is None else str(result.path),
    }
    return json.dumps(record) + "\n"


def _message(error: Exception, url: str) -> str:
    text = redacted(message_of(error).replace(url, redacted_url(url)))
    if not text or any(secret in text for secret in secrets_in(url)):
        return type(error).__name__
    return f"{type(error).__name__}: {text}"


def _shown(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
