"""
The failure of a record: its flags, its error and its earlier tries, and how they are restored.

Values only. The texts of errors have their secrets masked.
"""

from __future__ import annotations

from typing import Any

import httpx

from asyncbatch._engine import causes_of
from asyncbatch._journal._schema import PERMANENT, UNDONE
from asyncbatch._lanes.failures._causes import is_permanent
from asyncbatch._values import _errors
from asyncbatch._values._errors import FailureKind, HostPaused, ProxyError, message_of
from asyncbatch._values._masking import masked_text
from asyncbatch._values._pickling import restored
from asyncbatch._values._result import Failure
from asyncbatch._values._timing import Attempt, Timing
from asyncbatch._values._urls import text_of

# Errors before which nothing of a request can have been sent.
_BEFORE_SENDING = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, HostPaused)
_KINDS_BEFORE_SENDING = {
    FailureKind.dns,
    FailureKind.connect,
    FailureKind.tls,
    FailureKind.host_down,
    FailureKind.not_started,
    FailureKind.blocked,
}
# Statuses of a redirect that pass the request on unchanged, or ask for credentials.
_ACTED_NOT = {307, 308, 401, 407}


def flags_of(failure: Failure) -> int:
    """Return whether a failure is permanent, and whether nothing was carried out, as flags."""
    flags = UNDONE if _is_undone(failure) else 0
    error = failure._error  # pyright: ignore[reportPrivateUsage]
    if error is not None and any(map(is_permanent, causes_of(error))):
        flags |= PERMANENT
    if isinstance(error, ProxyError) and error.status_code == 407:
        flags |= PERMANENT
    return flags


def _is_undone(failure: Failure) -> bool:
    """Whether no try of a failed request can have been carried out."""
    if not failure.attempts:
        return True
    if not all(_was_refused(each.status_code, each.error) for each in failure.history):
        return False
    answer = failure._answer  # pyright: ignore[reportPrivateUsage]
    if answer is not None:
        earlier = getattr(failure.response, "history", ())
        if any(each.status_code not in _ACTED_NOT for each in earlier):
            return False
        return _refuses(failure.status_code, failure.headers)
    if _was_redirected(failure):
        return False
    error = failure.error
    return failure.kind in _KINDS_BEFORE_SENDING or _was_refused(None, error)


def _was_refused(status_code: int | None, error: Exception) -> bool:
    if status_code is not None:
        response = getattr(error, "response", None)
        return response is not None and _refuses(status_code, response.headers)
    if isinstance(error, ProxyError):
        return error.status_code is not None
    return isinstance(error, _BEFORE_SENDING)


def _refuses(status_code: int | None, headers: Any) -> bool:
    return status_code == 429 or (status_code == 503 and "retry-after" in headers)


def _was_redirected(failure: Failure) -> bool:
    """Whether a request ended at another URL than it was sent to."""
    url = failure.url
    if url is None:
        return False
    request = failure.request
    try:
        given = httpx.URL(text_of(request.url))
    except Exception:
        return True
    if not given.is_absolute_url:
        return False
    here, there = (
        (each.scheme, each.host, each.port, each.raw_path.partition(b"?")) for each in (given, url)
    )
    if request.params is None:
        return here != there
    return here[:3] != there[:3] or here[3][0] != there[3][0]


def add_error(facts: dict[str, Any], failure: Failure) -> None:
    """Add what is kept of the error of a failure to the facts of its record."""
    error = failure._error  # pyright: ignore[reportPrivateUsage]
    # That of a failed status is made of its response.
    if error is not None and failure.kind not in (FailureKind.in_doubt, FailureKind.status):
        facts["error"] = _error(error, failure.request.url)
    if failure.out_of_budget:
        facts["out_of_budget"] = True


def _error(error: Exception, url: object) -> list[Any]:
    kind = type(error)
    text = masked_text(message_of(error), url)
    if kind.__module__.partition(".")[0] not in ("httpx", "httpx2", "asyncbatch"):
        return ["", f"{kind.__qualname__}: {text}", {}]
    state = {
        name: masked_text(value, url) if isinstance(value, str) else value
        for name, value in vars(error).items()
        if isinstance(value, str | int | float | bool) and not name.startswith("__")
    }
    return [kind.__name__, text, state]


def restored_error(kept: list[Any], library: Any, *, has_response: bool) -> Exception:
    """
    Return a kept error; one of a class that is not ours or of httpx is a `RuntimeError`.

    Args:
        kept: The error, as `add_error` keeps it.
        library: The module `httpx` or `httpx2`.
        has_response: Whether its failure has a response. An `HTTPStatusError` without one, such as
            that of a token that `auth` asked for, becomes a `RuntimeError` too.
    """
    name, text, state = kept
    if name == "HTTPStatusError" and not has_response:
        return RuntimeError(f"{name}: {text}")
    kind = getattr(_errors, name, None) if name else RuntimeError
    if kind is None or not issubclass(kind, Exception):
        kind = getattr(library, name, RuntimeError)
        return restored(kind, "httpx", (text,), {"_request": None, **state})
    if kind is RuntimeError:
        return RuntimeError(text)
    return restored(kind, library.__name__, (text,), {"_request": None, **state})


def attempt_facts(attempt: Attempt, url: object) -> list[Any]:
    """Return what is kept of an earlier try."""
    timing = attempt.timing
    seconds = [
        None if each is None else round(each, 6)
        for each in (
            timing.queued,
            timing.throttled,
            timing.dns,
            timing.connect,
            timing.tls,
            timing.send,
            timing.wait,
            timing.receive,
        )
    ]
    return [attempt.status_code, _error(attempt.error, url), seconds, round(attempt.delay, 6)]


def restored_attempt(kept: list[Any], library: Any) -> Attempt:
    """Return a kept earlier try."""
    status_code, error, seconds, delay = kept
    made: Any = restored_error(error, library, has_response=status_code is not None)
    if isinstance(made, library.HTTPStatusError):
        made.response = library.Response(status_code)
    return Attempt(status_code, made, Timing(*seconds), delay)
