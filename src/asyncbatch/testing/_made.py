"""
Results made by hand, for tests of code that takes results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx

import asyncbatch
from asyncbatch import Attempt, Failure, FailureKind, Request, Success, Timing

NEVER_SENT = {FailureKind.host_down, FailureKind.invalid_request, FailureKind.not_started}
ANSWERED = {FailureKind.status, FailureKind.retry_after, FailureKind.callback}
"""The kinds of failure that may have a response."""

_UNKNOWN_URL = "https://example.org/"


def success(
    url: str | httpx.URL = _UNKNOWN_URL,
    *,
    method: str = "GET",
    status_code: int = 200,
    content: bytes | None = None,
    text: str | None = None,
    json: Any = None,
    headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
    tag: Any = None,
    index: int = 0,
    started: datetime | None = None,
    elapsed: float = 0.0,
    attempts: int = 1,
    timing: Timing | None = None,
    history: Sequence[Attempt] = (),
) -> Success:
    """
    Make a `Success` like that of a batch, for a test of code that takes results.

        assert title_of(success(text="<title>Home</title>")) == "Home"

    Args:
        url: The URL of the request and of the response.
        method: The method of the request.
        status_code: A status from 200 to 399.
        content: The decoded body; or give `text` or `json`.
        text: The body as text.
        json: A value to be the body as JSON.
        headers: The headers of the response.
        tag: The tag of the request.
        index: Position of the request in the input.
        started: When its first try began; naive times are local, as in all of Python.
        elapsed: Seconds that the request took.
        attempts: Number of tries.
        timing: The seconds spent in each phase.
        history: The tries before the last one.

    Raises:
        TypeError: If more than one body is given.
        ValueError: If `status_code` is not that of a success, or another value is impossible.
    """
    if not 200 <= status_code < 400:
        raise ValueError(
            f"a success has a status_code from 200 to 399, not {status_code!r}; "
            "use testing.failure for other statuses"
        )
    response = _response(url, method, status_code, headers, content, text, json)
    common = _common(url, method, tag, index, started, elapsed, attempts, timing, history)
    return Success(content=response.content, response=response, **common)


def failure(
    url: str | httpx.URL = _UNKNOWN_URL,
    *,
    kind: FailureKind | str = FailureKind.connect,
    error: Exception | None = None,
    method: str = "GET",
    status_code: int | None = None,
    content: bytes | None = None,
    text: str | None = None,
    json: Any = None,
    headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
    tag: Any = None,
    index: int = 0,
    started: datetime | None = None,
    elapsed: float = 0.0,
    attempts: int | None = None,
    timing: Timing | None = None,
    history: Sequence[Attempt] = (),
) -> Failure:
    """
    Make a `Failure` like that of a batch, for a test of code that takes results.

        report = describe(failure("https://example.org/", kind="timeout"))

    Args:
        url: The URL of the request.
        kind: The kind, as a `FailureKind` or its name.
        error: The error; by default a typical one of this kind.
        method: The method of the request.
        status_code: The status of the response, for the kinds `status` (500 by default),
            `retry_after` (429 by default) and `callback`. Other kinds have no response.
        content: The decoded body of the response; or give `text` or `json`.
        text: The body as text.
        json: A value to be the body as JSON.
        headers: The headers of the response.
        tag: The tag of the request.
        index: Position of the request in the input.
        started: When its first try began; naive times are local, as in all of Python.
        elapsed: Seconds that the request took.
        attempts: Number of tries; by default 1, or 0 for a kind that is never sent.
        timing: The seconds spent in each phase.
        history: The tries before the last one.

    Raises:
        TypeError: If more than one body is given, or `error` is not an exception.
        ValueError: If there is no such kind, or values contradict each other.
    """
    kind = _kind(kind)
    if error is not None and not isinstance(error, Exception):
        raise TypeError(f"error must be an exception, not {error!r}")
    response = None
    answered = any(each is not None for each in (status_code, content, text, json, headers))
    if kind in (FailureKind.status, FailureKind.retry_after) or answered:
        status_code = _status_of(kind, status_code)
        response = _response(url, method, status_code, headers, content, text, json)
    if attempts is None:
        attempts = 0 if kind in NEVER_SENT else 1
    common = _common(url, method, tag, index, started, elapsed, attempts, timing, history)
    if error is None and kind is not FailureKind.status:
        error = _error(kind, url, method, response)
    body = b"" if response is None else response.content
    return Failure(kind=kind, error=error, content=body, response=response, **common)


def _kind(kind: FailureKind | str) -> FailureKind:
    try:
        return FailureKind(kind)
    except ValueError:
        known = ", ".join(FailureKind)
        raise ValueError(f"kind must be one of {known}; not {kind!r}") from None


def _status_of(kind: FailureKind, status_code: int | None) -> int:
    if kind not in ANSWERED:
        raise ValueError(
            f"a failure of kind {kind!r} has no response: leave out status_code, headers and the "
            "body, or make it of kind 'status'"
        )
    if status_code is None:
        return {FailureKind.status: 500, FailureKind.retry_after: 429}.get(kind, 200)
    if kind is not FailureKind.callback and not 400 <= status_code <= 599:
        raise ValueError(
            f"a failure of kind {kind!r} has a status_code from 400 to 599, not {status_code!r}"
        )
    return status_code


def _response(
    url: str | httpx.URL,
    method: str,
    status_code: int,
    headers: Any,
    content: bytes | None,
    text: str | None,
    json: Any,
) -> httpx.Response:
    bodies = {"content": content, "text": text, "json": json}
    given: dict[str, Any] = {name: body for name, body in bodies.items() if body is not None}
    if len(given) > 1:
        raise TypeError(f"give one body, not {' and '.join(given)}")
    request = httpx.Request(method, url)
    return httpx.Response(status_code, headers=headers, request=request, **given)


def _common(
    url: str | httpx.URL,
    method: str,
    tag: Any,
    index: int,
    started: datetime | None,
    elapsed: float,
    attempts: int,
    timing: Timing | None,
    history: Sequence[Attempt],
) -> dict[str, Any]:
    for name, value in (("index", index), ("elapsed", elapsed), ("attempts", attempts)):
        if not value >= 0:
            raise ValueError(f"{name} must be 0 or more, not {value!r}")
    timing = Timing() if timing is None else timing
    return {
        "index": index,
        "item": Request(url, method, tag=tag),
        "url": _url(url),
        "elapsed": elapsed,
        "attempts": attempts,
        "history": tuple(history),
        "queued": timing.queued,
        "throttled": timing.throttled,
        "network": timing,
        "started": 0.0 if started is None else started.timestamp(),
    }


def _url(url: str | httpx.URL) -> httpx.URL | None:
    # As in a batch: a URL that cannot be fetched is None.
    try:
        found = httpx.URL(url)
    except Exception:
        return None
    return found if found.scheme in ("http", "https") and found.host else None


def _error(
    kind: FailureKind, url: str | httpx.URL, method: str, response: httpx.Response | None
) -> Exception:
    make = _ERRORS.get(kind)
    if kind is FailureKind.retry_after:
        assert response is not None
        return asyncbatch.RetryAfterTooLong(
            3600.0, limit=60.0, request=response.request, response=response
        )
    error = httpx.RequestError(f"Failed: {kind}") if make is None else make(str(url))
    if isinstance(error, httpx.RequestError) and _url(url) is not None:
        error.request = httpx.Request(method, url)
    return error


_ERRORS: dict[str, Callable[[str], Exception]] = {
    "dns": lambda _: asyncbatch.DNSError("Name or service not known"),
    "connect": lambda _: httpx.ConnectError("Connection refused"),
    "tls": lambda _: asyncbatch.TLSError("Certificate verify failed"),
    "timeout": lambda _: asyncbatch.AttemptTimeout(30.0),
    "protocol": lambda _: httpx.RemoteProtocolError("Server disconnected without a response"),
    "truncated": lambda _: asyncbatch.TruncatedBody("The connection ended before the body did"),
    "decode": lambda _: httpx.DecodingError("The body does not decode"),
    "redirect": lambda _: httpx.TooManyRedirects("Exceeded maximum allowed redirects."),
    "too_large": lambda _: asyncbatch.BodyTooLarge(32 * 1024 * 1024),
    "blocked": lambda _: asyncbatch.AddressBlocked("Its address is not allowed"),
    "host_down": asyncbatch.HostDown,
    "invalid_request": lambda _: httpx.UnsupportedProtocol("This is no URL that can be fetched"),
    "not_started": lambda _: asyncbatch.NotStarted(60.0),
    "callback": lambda _: RuntimeError("raised by a callback"),
}
