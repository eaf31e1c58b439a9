"""
Results as an HTTP archive: HAR 1.2, http://www.softwareishard.com/blog/har-12-spec/.

Names and units are those of the specification: milliseconds, and -1 for a phase that did not occur.
Names of our own begin with an underscore, as the specification requires.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, quote, urlsplit

import httpx

from asyncbatch._results._record import encodable, to_be_read
from asyncbatch._results._table_file import PathTypes, TableFile
from asyncbatch._values._errors import message_of
from asyncbatch._values._masking import masked_fields, masked_text, masked_url
from asyncbatch._values._redaction import MASK
from asyncbatch._values._result import Failure, Result, asked_url_of
from asyncbatch._values._timing import Timing
from asyncbatch._values._version import __version__

# About one connection only (RFC 9113 §8.2.2), and `Host`, which is in the URL.
_NOT_IN_HTTP2 = {
    *(b"connection", b"host", b"keep-alive", b"proxy-connection", b"transfer-encoding"),
    b"upgrade",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_har(results: Iterable[Result], path: PathTypes | None = None) -> dict[str, Any]:
    """
    Return results as an HTTP archive (HAR 1.2), which browsers and other tools show.

    Each result that was tried is an entry, the earliest first; one without a response has the
    status 0. Its times are those of the last try: earlier ones, and the waits between them, are in
    `blocked`. The bodies of responses are included, those of requests are not. Credentials, cookies
    and values that look like secrets in a URL are masked.

    Args:
        results: The results; of a stream, those that are still to come.
        path: A file to write it to as well; it is overwritten.

    Raises:
        OSError: If the file cannot be written.
        RuntimeError: If `results` is a stream that has ended or was left.
    """
    tried = list(filter(_was_tried, to_be_read(results)))
    tried.sort(key=lambda result: result._started)  # pyright: ignore[reportPrivateUsage]
    har = {"log": {**_head(), "entries": [_entry(result) for result in tried]}}
    if path is not None:
        Path(os.fsdecode(path)).write_text(json.dumps(har), encoding="ascii")
    return har


class HarFile(TableFile):
    """An archive that is written while its results come; its entries are in their order."""

    _lines: BinaryIO

    def __init__(self, path: PathTypes) -> None:
        super().__init__(path)
        self._has_entries = self._is_ended = False

    def _write_start(self, file: BinaryIO) -> None:
        self._lines = file
        head = json.dumps(_head()).removesuffix("}")
        file.write(f'{{"log": {head}, "entries": ['.encode("ascii"))

    def _write(self, results: list[Result]) -> None:
        for result in filter(_was_tried, results):
            self._lines.write(b",\n" if self._has_entries else b"\n")
            self._lines.write(json.dumps(_entry(result)).encode("ascii"))
            self._has_entries = True

    def _write_end(self) -> None:
        if not self._is_ended:
            self._is_ended = True
            self._lines.write(b"\n]}}\n")


def _was_tried(result: Result) -> bool:
    return result.attempts > 0 and result.url is not None


def _head() -> dict[str, Any]:
    """Return what an archive has beside its entries."""
    return {
        "version": "1.2",
        "creator": {"name": "asyncbatch", "version": __version__},
    }


def _entry(result: Result) -> dict[str, Any]:
    timing = result.timing
    timings = _timings(timing, result.elapsed)
    entry = {
        "startedDateTime": (result.started or _EPOCH).isoformat(timespec="milliseconds"),
        "time": sum(
            timings[name]
            for name in ("blocked", "dns", "connect", "send", "wait", "receive")
            if timings[name] > 0
        ),
        "request": _request(result),
        "response": _response(result),
        "cache": {},
        "timings": timings,
        "_queued": _milliseconds(timing.queued),
        "_throttled": _milliseconds(timing.throttled),
        "_attempts": result.attempts,
    }
    if result.started is None:
        entry["comment"] = "it is not known when this was sent"
    return entry


def _timings(timing: Timing, elapsed: float) -> dict[str, float]:
    phases = dict(timing.phases())
    connect = phases.get("connect")
    if (tls := phases.get("tls")) is not None:
        # "The time required for SSL/TLS negotiation is included in the connect field too."
        connect = (connect or 0.0) + tls
    known = sum(max(0.0, seconds) for seconds in phases.values())
    return {
        # Earlier tries, and the waits between them.
        "blocked": _milliseconds(elapsed - known),
        "dns": _milliseconds(phases.get("dns")),
        "connect": _milliseconds(connect),
        "ssl": _milliseconds(tls),
        # These must be there.
        "send": _milliseconds(phases.get("send", 0.0)),
        "wait": _milliseconds(phases.get("wait", 0.0)),
        "receive": _milliseconds(phases.get("receive", 0.0)),
    }


def _milliseconds(seconds: float | None) -> float:
    return -1 if seconds is None else round(max(0.0, seconds) * 1000, 3)


def _request(result: Result) -> dict[str, Any]:
    sent = None if result.response is None else result.response.request
    asked = result.request
    # Without the fragment, which is not sent.
    url = masked(result.url).partition("#")[0]
    headers = httpx.Headers(asked.headers) if sent is None else sent.headers
    fields = list(headers.raw)
    if _http_version(result) == "HTTP/2":
        names = [(name.lower(), value) for name, value in fields]
        fields = [(name, value) for name, value in names if name not in _NOT_IN_HTTP2]
    return {
        "method": encodable(asked.method if sent is None else sent.method),
        "url": url,
        "httpVersion": _http_version(result),
        "cookies": _cookies(fields, b"cookie"),
        "headers": _fields(fields),
        "queryString": [
            {"name": name, "value": value}
            for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True)
        ],
        "headersSize": -1,
        "bodySize": -1,
    }


def _response(result: Result) -> dict[str, Any]:
    response = result.response
    fields: list[tuple[bytes, bytes]] = [] if response is None else list(response.headers.raw)
    location = result.headers.get("location")
    found = {
        "status": result.status_code or 0,
        "statusText": result.reason_phrase,
        "httpVersion": _http_version(result),
        "cookies": _cookies(fields, b"set-cookie"),
        "headers": _fields(fields),
        "content": _content(result),
        "redirectURL": "" if location is None else masked(location),
        "headersSize": -1,
        "bodySize": -1,
    }
    if isinstance(result, Failure):
        said = masked_text(message_of(result.error), asked_url_of(result))
        found["_error"] = encodable(f"{result.kind}: {said}" if said else str(result.kind))
    return found


def _content(result: Result) -> dict[str, Any]:
    content: dict[str, Any] = {
        "size": result.size,
        "mimeType": result.headers.get("content-type", "x-unknown"),
    }
    if result.path is not None:
        return content | {"comment": encodable(f"the body is in the file {result.path}")}
    if not result.content:
        return content
    try:
        text = result.content.decode(result.encoding or "utf-8")
        text.encode()  # an encoding such as UTF-7 may make lone surrogates of it
        return content | {"text": text}
    except (UnicodeError, LookupError):
        text = base64.b64encode(result.content).decode("ascii")
        return content | {"text": text, "encoding": "base64"}


def _http_version(result: Result) -> str:
    response = result.response
    return "" if response is None else str(response.http_version)


def _fields(fields: list[tuple[bytes, bytes]]) -> list[dict[str, str]]:
    return [
        {"name": name.decode("latin-1"), "value": value.decode("latin-1")}
        for name, value in masked_fields(fields)
    ]


def _cookies(fields: list[tuple[bytes, bytes]], name: bytes) -> list[dict[str, str]]:
    """Return the cookies that fields of this name carry, without their values."""
    return [
        {"name": cookie, "value": MASK}
        for field, value in fields
        if field.lower() == name
        for cookie in _names_of(value.decode("latin-1"))
    ]


def _names_of(value: str) -> Iterator[str]:
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(value)
    except CookieError:
        return
    yield from cookies


def masked(url: object) -> str:
    """Return a URL without secrets, in the characters that a URL may have."""
    return encodable(masked_url(url).replace(MASK, quote(MASK)))
