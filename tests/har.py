"""
A checker of HTTP archives, made from the list of fields of HAR 1.2.

http://www.softwareishard.com/blog/har-12-spec/. A name with a question mark is optional; what
begins with an underscore is the exporter's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

PAIR = {"name": str, "value": str, "comment?": str}
COOKIE = PAIR | {
    "path?": str,
    "domain?": str,
    "expires?": str,
    "httpOnly?": bool,
    "secure?": bool,
}
REQUEST = {
    "method": str,
    "url": "url",
    "httpVersion": str,
    "cookies": [COOKIE],
    "headers": [PAIR],
    "queryString": [PAIR],
    "postData?": {"mimeType": str, "params?": [PAIR], "text?": str, "comment?": str},
    "headersSize": int,
    "bodySize": int,
    "comment?": str,
}
CONTENT = {
    "size": int,
    "compression?": int,
    "mimeType": str,
    "text?": str,
    "encoding?": str,
    "comment?": str,
}
RESPONSE = {
    "status": int,
    "statusText": str,
    "httpVersion": str,
    "cookies": [COOKIE],
    "headers": [PAIR],
    "content": CONTENT,
    "redirectURL": str,
    "headersSize": int,
    "bodySize": int,
    "comment?": str,
}
TIMINGS = {
    "blocked?": "optional time",
    "dns?": "optional time",
    "connect?": "optional time",
    "send": "time",
    "wait": "time",
    "receive": "time",
    "ssl?": "optional time",
    "comment?": str,
}
ENTRY = {
    "pageref?": str,
    "startedDateTime": "moment",
    "time": "time",
    "request": REQUEST,
    "response": RESPONSE,
    "cache": {},
    "timings": TIMINGS,
    "serverIPAddress?": str,
    "connection?": str,
    "comment?": str,
}
CREATOR = {"name": str, "version": str, "comment?": str}
LOG = {
    "version": str,
    "creator": CREATOR,
    "browser?": CREATOR,
    "pages?": [],
    "entries": [ENTRY],
    "comment?": str,
}

TESTS = {
    # ISO 8601, with a time zone.
    "moment": lambda value: re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", value
    ),
    # RFC 3986.
    "url": lambda value: re.fullmatch(
        r"https?://(?:[\w.~!$&'()*+,;=:@-]|%[\dA-Fa-f]{2}|\[[\dA-Fa-f:.]+\])+"
        r"(?:[/?#](?:[\w.~!$&'()*+,;=:@/?#-]|%[\dA-Fa-f]{2})*)?",
        value,
        re.ASCII,
    ),
    "time": lambda value: value >= 0,
    "optional time": lambda value: value >= -1,
}


def errors_in(har: Any) -> list[str]:
    """Return what is wrong with an archive."""
    found = list(_errors(har, {"log": LOG}, "har"))
    if found:
        return found
    entries = har["log"]["entries"]
    begun = [each["startedDateTime"] for each in entries]
    found += [] if begun == sorted(begun) else ["the entries are not in the order of their times"]
    for number, entry in enumerate(entries):
        # "time is the sum of all timings available (i.e. not including -1 values)", and connect
        # includes ssl.
        timings = {name: value for name, value in entry["timings"].items() if name != "ssl"}
        if abs(sum(each for each in timings.values() if each > 0) - entry["time"]) > 0.01:
            found.append(f"entries[{number}].time is not the sum of its timings")
    return found


def _errors(value: Any, expected: Any, where: str) -> Iterator[str]:
    if isinstance(expected, dict):
        yield from _of_object(value, expected, where)
    elif isinstance(expected, list):
        if not isinstance(value, list):
            yield f"{where} is no list"
            return
        for number, each in enumerate(value):
            yield from _errors(each, expected[0] if expected else {}, f"{where}[{number}]")
    elif isinstance(expected, str):
        kind = (int, float) if "time" in expected else str
        if not isinstance(value, kind) or not TESTS[expected](value):
            yield f"{where} is no {expected}: {value!r}"
    elif type(value) is not expected:
        yield f"{where} is not of type {expected.__name__}: {value!r}"


def _of_object(value: Any, expected: dict[str, Any], where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where} is no object"
        return
    names = {name.removesuffix("?"): name for name in expected}
    for name, given in names.items():
        if name in value:
            yield from _errors(value[name], expected[given], f"{where}.{name}")
        elif name == given:
            yield f"{where} has no {name}"
    for name in value.keys() - names.keys():
        if not name.startswith("_"):
            yield f"{where} has {name}, which is not of the specification"
