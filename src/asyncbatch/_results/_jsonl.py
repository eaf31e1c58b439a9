"""
Records as JSON Lines: one object on each line, in ASCII.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Collection, Sequence
from typing import Any

from asyncbatch._results._record import SIMPLE, records_of, text_of_tag
from asyncbatch._values._result import Result

_encode = json.JSONEncoder(check_circular=False, allow_nan=False).encode


def json_lines(results: Sequence[Result], tag_types: Collection[type] | None = SIMPLE) -> bytes:
    """Return results as lines; for `tag_types`, see `records_of`."""
    lines = [_encode(json_record(record)) for record in records_of(results, tag_types)]
    return "".join([f"{line}\n" for line in lines]).encode("ascii")


def json_record(record: dict[str, Any]) -> dict[str, Any]:
    """
    Return a record with values that JSON has.

    The body is text in `content` if it is UTF-8, otherwise Base64; `content_as` says which.
    """
    started, tag, content = record["started"], record["tag"], record["content"]
    try:
        text, sort = content.decode(), "text"
    except UnicodeDecodeError:
        text, sort = base64.b64encode(content).decode("ascii"), "base64"
    found: dict[str, Any] = {}
    for name, value in record.items():
        found[name] = value
        if name == "content":
            found["content"], found["content_as"] = text, sort
    found["started"] = None if started is None else started.isoformat()
    found["tag"] = json_tag(tag)
    return found


def json_tag(tag: Any) -> Any:
    """Return a tag if JSON has a value for it, otherwise its `repr`."""
    if tag is None or (type(tag) in SIMPLE and not (type(tag) is float and not math.isfinite(tag))):
        return tag
    return text_of_tag(tag)
