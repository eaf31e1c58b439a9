"""
A result as a line of text, or as JSON.

A line shows no headers, no bodies, and no user name and password of a URL. A URL may come from a
stranger, so control characters, which a terminal would obey, are escaped.
"""

from __future__ import annotations

import json

from asyncbatch import Failure, Result
from asyncbatch._results._record import PHASES, error_text, records_of
from asyncbatch._values._redaction import redacted_url

_FIRST = ("index", "url", "final_url", "method", "ok", "status", "kind", "error")


def plain_line(result: Result) -> str:
    """Return the line of `result`: status or kind, seconds, bytes, URL, and the error."""
    url = str(result.request.url)
    what, error = str(result.status_code or "exists"), ""
    if isinstance(result, Failure) and result.response is None:
        what, error = str(result.kind), f"  {_shown(error_text(result))}"
    seconds, size = f"{result.elapsed:.3f}", result.size
    return f"{what:<15} {seconds:>9} {size:>10} {_shown(redacted_url(url))}{error}\n"


def json_line(result: Result) -> str:
    """Return `result` as a JSON object on one line, in ASCII."""
    (record,) = records_of([result])
    started = record["started"]
    line = {name: record[name] for name in _FIRST}
    line["started"] = None if started is None else started.isoformat()
    line["elapsed"] = round(result.elapsed, 6)
    line["timing"] = {
        name: None if (seconds := record[name]) is None else round(seconds, 6) for name in PHASES
    }
    line["attempts"] = result.attempts
    line["bytes"] = result.size
    line["path"] = record["path"]
    line["from_journal"] = result.from_journal
    return json.dumps(line) + "\n"


def _shown(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
