"""
Records: a result as the journal keeps it, and back.

Values only; `_store` writes and reads them. Neither the request's headers and body nor any secret
of its URL or of the response gets into a record.
"""

from __future__ import annotations

import json
import math
import struct
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from asyncbatch._batch._make_result import method_of
from asyncbatch._engine import causes_of
from asyncbatch._journal._masking import has_secrets, kept_fields, masked_text, masked_url
from asyncbatch._journal._policy import Kept
from asyncbatch._journal._saved import SavedFile, saved_in
from asyncbatch._lanes import ResponseBuilder
from asyncbatch._lanes.failures._causes import is_permanent
from asyncbatch._lanes.response._response_builder import PlainResponseBuilder
from asyncbatch._values import _errors
from asyncbatch._values._errors import FailureKind, HostPaused, InDoubt, ProxyError, message_of
from asyncbatch._values._pickling import restored
from asyncbatch._values._request import Request, native_of, plain_url
from asyncbatch._values._result import Failure, Result, Success, draft
from asyncbatch._values._timing import Attempt, Course, Timing
from asyncbatch._values._urls import ABSOLUTE, text_of

PERMANENT, UNDONE, PLAIN = 1, 2, 4
"""Flags of a record: another try would end the same; nothing was carried out; it can be sent again
from the record alone, since it is a GET without fields of its own and without secrets."""

_TIMES = struct.Struct("<10f")
_NAN = math.nan

# Errors before which nothing of a request can have been sent.
_BEFORE_SENDING = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, HostPaused)
_KINDS_BEFORE_SENDING = {
    FailureKind.dns,
    FailureKind.connect,
    FailureKind.tls,
    FailureKind.host_down,
    FailureKind.not_started,
    FailureKind.blocked,
    FailureKind.invalid_request,
}
# Statuses of a redirect that pass the request on unchanged, or ask for credentials.
_ACTED_NOT = {307, 308, 401, 407}


class Record(NamedTuple):
    """A result in the journal, without its body."""

    key: bytes
    kind: str | None
    """The kind of failure; `None` for a success."""
    ended_at: float
    """When it ended, in seconds since 1970."""
    method: str
    url: str
    """The URL as it was given, with its secrets masked."""
    status: int | None
    head: bytes | None
    """Status line and fields of the response, without secrets."""
    times: bytes
    attempts: int
    flags: int
    facts: str | None
    """JSON: the error, the earlier tries and the final URL; `None` if there is nothing to say."""


def record_of(
    key: bytes, result: Result, ended_at: float, heads: Heads, *, is_keyed: bool = False
) -> Record:
    """
    Return the record of a result.

    Args:
        key: What it is kept by.
        result: It.
        ended_at: When it ended, in seconds since 1970.
        heads: The heads of responses.
        is_keyed: Whether its request may be known by something that is not in the record.
    """
    item = result._item  # pyright: ignore[reportPrivateUsage]
    answer = result._answer  # pyright: ignore[reportPrivateUsage]
    plain = plain_url(item)
    facts: dict[str, Any] = {}
    flags = 0
    if plain is not None:
        method, url = "GET", text_of(plain)
        is_keyed = is_keyed or (isinstance(item, Request) and item.key is not None)
        if ABSOLUTE.match(url) and not is_keyed and not has_secrets(url):
            flags = PLAIN
        else:
            url = masked_url(url)
    else:
        method, url = method_of(item), masked_url(_url_of(item))
    if answer is not None and type(answer) is not PlainResponseBuilder:
        final_url = masked_url(result.url)
        if final_url != url:
            facts["final_url"] = final_url
    if isinstance(result, Failure):
        flags |= _flags_of(result)
        _add_error(facts, result)
    if (saved := saved_in(result)) is not None:
        facts["saved"] = saved
    if result.history:
        facts["history"] = [_attempt(each, result.request.url) for each in result.history]
    return Record(
        key,
        None if result.kind is None else str(result.kind),
        ended_at,
        method,
        url,
        result.status_code,
        None if answer is None else heads.of(answer),
        _times_of(result),
        result.attempts,
        flags,
        json.dumps(facts) if facts else None,
    )


def record_before_sending(key: bytes, item: Any, now: float) -> Record:
    """Return what is written before the first byte of a request that must not be sent twice."""
    kind, url = str(FailureKind.in_doubt), masked_url(_url_of(item))
    times = _TIMES.pack(0.0, 0.0, 0.0, *[_NAN] * 7)
    return Record(key, kind, now, method_of(item), url, None, None, times, 1, 0, None)


def result_of(
    record: Record, content: bytes, index: int, item: Any, library: Any, heads: Heads
) -> Result:
    """
    Return the result that a record was made of.

    Args:
        record: It.
        content: The body.
        index: The position of the request in the input.
        item: The request, in any form.
        library: The module `httpx` or `httpx2`, of which the response is to be.
        heads: The parsed heads.
    """
    if record.facts is None and record.kind is None and record.head is not None:
        return _plain_success(record, content, index, item, library, heads)
    facts: dict[str, Any] = {} if record.facts is None else json.loads(record.facts)
    elapsed, queued, throttled, *moments = _TIMES.unpack(record.times)
    answer = None
    url = facts.get("final_url")
    if record.head is not None:
        answer = StoredAnswer(library, record.status or 0, heads.parsed(record.head), url)
    history = tuple(_restored_attempt(each, library) for each in facts.get("history", ()))
    common: dict[str, Any] = {
        "index": index,
        "item": item,
        "elapsed": elapsed,
        "attempts": record.attempts,
        "history": history,
        "queued": queued,
        "throttled": throttled,
        "network": _course(moments),
        "content": content,
        "response": answer,
        "from_journal": True,
    }
    if saved := facts.get("saved"):
        path, size, resumed_from, _ = saved
        common["saved"] = Path(path), size, resumed_from
    if record.kind is None:
        return Success(url=None if answer else _url(record, library), **common)
    kind = FailureKind(record.kind)
    error: Any = None
    if kind is FailureKind.in_doubt:
        error = restored(InDoubt, library.__name__, (_DOUBT,), {"_request": None})
    elif "error" in facts:
        error = _restored_error(facts["error"], library)
    failure = Failure(
        url=_url(record, library),
        error=error,
        kind=kind,
        out_of_budget=facts.get("out_of_budget", False),
        **common,
    )
    if isinstance(error, library.HTTPStatusError):
        response: Any = failure.response
        error.response, error.request = response, response.request
    return failure


def _plain_success(
    record: Record, content: bytes, index: int, item: Any, library: Any, heads: Heads
) -> Success:
    """Return the result of a record with nothing special, as most are, in half of the time."""
    elapsed, queued, throttled, *moments = _TIMES.unpack(record.times)
    assert record.head is not None
    answer = StoredAnswer(library, record.status or 0, heads.parsed(record.head), None)
    course = _course(moments)
    made = draft(
        index,
        item,
        elapsed,
        record.attempts,
        (),
        queued,
        throttled,
        course,
        content,
        answer,
        None,
        True,
    )
    made.__class__ = Success
    return made


_DOUBT = (
    "Not sent again: it may have been sent by a program that ended before it had the answer; "
    "Journal(retry='all') sends it"
)


def file_of(record: Record) -> SavedFile | None:
    """Return what a record says about the file of its body."""
    saved = None if record.facts is None else json.loads(record.facts).get("saved")
    return None if saved is None else SavedFile(*saved)


def kept_of(record: Record, now: float, *, has_body: bool) -> Kept:
    """Return what the policy decides by."""
    return Kept(
        kind=None if record.kind is None else FailureKind(record.kind),
        status_code=record.status,
        is_permanent=bool(record.flags & PERMANENT),
        is_undone=bool(record.flags & UNDONE),
        age=now - record.ended_at,
        has_body=has_body,
    )


def _url(record: Record, library: Any) -> Any:
    try:
        return library.URL(record.url)
    except Exception:
        return None


def _url_of(item: Any) -> str:
    request = Request.of(item)
    native = native_of(request)
    text = str(native.url) if native is not None else text_of(request.url)
    if request.params is None:
        return text
    try:
        query = str(httpx.QueryParams(request.params))  # type: ignore[arg-type]
    except Exception:
        return text
    return text if not query else f"{text}{'&' if '?' in text else '?'}{query}"


# Times


def _times_of(result: Result) -> bytes:
    network = result._network  # pyright: ignore[reportPrivateUsage]
    course = _course_of(network) if isinstance(network, Timing) else network
    begun, *moments = course[:5]
    return _TIMES.pack(
        result.elapsed,
        result._queued,  # pyright: ignore[reportPrivateUsage]
        result._throttled,  # pyright: ignore[reportPrivateUsage]
        *(moment - begun if moment else _NAN for moment in moments),
        *(_NAN if seconds is None else seconds for seconds in course[5:8]),
    )


def _course_of(timing: Timing) -> Course:
    """Return a course of which `timing_of` makes the phases of `timing`."""
    begun = 1.0
    sent = begun + (timing.send or 0.0)
    first = sent + (timing.wait or 0.0)
    ended = first + (timing.receive or 0.0)
    return (
        begun,
        0.0 if timing.send is None else begun,
        0.0 if timing.wait is None else sent,
        0.0 if timing.receive is None else first,
        ended,
        timing.dns,
        timing.connect,
        timing.tls,
        0,
    )


def _course(moments: list[float]) -> Course:
    send, sent, first, ended, *phases = moments
    dns, connect, tls = (None if seconds != seconds else seconds for seconds in phases)
    begun = 1.0
    return (
        begun,
        0.0 if send != send else begun + send,
        0.0 if sent != sent else begun + sent,
        0.0 if first != first else begun + first,
        0.0 if ended != ended else begun + ended,
        dns,
        connect,
        tls,
        0,
    )


# Heads


class Heads:
    """The heads of responses, as they are kept; most responses of a server differ in little."""

    MOST = 512

    def __init__(self) -> None:
        self._kept: dict[bytes, bytes] = {}
        self._parsed: dict[bytes, ParsedHead] = {}

    def of(self, answer: Any) -> bytes:
        """Return the head of a response, or of an object that builds one, as it is kept."""
        if not isinstance(answer, ResponseBuilder):
            line = f"{answer.http_version} {answer.status_code} {answer.reason_phrase}"
            return _head(line.encode("latin-1", "replace"), answer.headers.raw)
        head = answer.head
        kept = self._kept.get(head.block)
        if kept is None:
            kept = _head(b"%b %d %b" % (head.version, head.status, head.reason), head.fields)
            _put(self._kept, head.block, kept, self.MOST)
        return kept

    def parsed(self, head: bytes) -> ParsedHead:
        """Return a kept head in its parts."""
        parsed = self._parsed.get(head)
        if parsed is None:
            line, *fields = head.split(b"\r\n")
            version, _, reason = line.split(b" ", 2)
            pairs = [(name, value) for name, _, value in (each.partition(b": ") for each in fields)]
            parsed = ParsedHead(version, reason, pairs)
            _put(self._parsed, head, parsed, self.MOST)
        return parsed


class ParsedHead(NamedTuple):
    """The parts of a kept head."""

    version: bytes
    reason: bytes
    fields: list[tuple[bytes, bytes]]


def _put(cache: dict[bytes, Any], key: bytes, value: Any, most: int) -> None:
    if len(cache) >= most:
        cache.clear()
    cache[key] = value


def _head(line: bytes, fields: Any) -> bytes:
    kept = kept_fields(fields)
    return b"\r\n".join([line, *(name + b": " + value for name, value in kept)])


class StoredAnswer:
    """Builds the response of a record when it is asked for."""

    __slots__ = ("_head", "_library", "_url", "status_code")

    def __init__(self, library: Any, status_code: int, head: ParsedHead, url: str | None) -> None:
        self._library = library
        self.status_code = status_code
        self._head = head
        self._url = url

    def url_for(self, item: Any) -> Any:
        """Return the final URL, with its secrets masked."""
        return self._library.URL(self._url or masked_url(_url_of(item)))

    def build(self, item: Any, content: bytes, course: Any) -> Any:
        """Return the response, read and closed; the fields with secrets are missing."""
        library, head = self._library, self._head
        response = library.Response(
            self.status_code,
            headers=head.fields,
            stream=library.ByteStream(b""),
            request=library.Request(method_of(item), self.url_for(item)),
            extensions={"http_version": head.version, "reason_phrase": head.reason},
        )
        # As for a response just received: there is no public way to give it a decoded body.
        response._content = content
        response.is_closed = True
        response.is_stream_consumed = True
        begun_at, *_, ended_at = course[:5]
        response.elapsed = timedelta(seconds=max(0.0, ended_at - begun_at))
        return response


# Failures


def _flags_of(failure: Failure) -> int:
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


def _add_error(facts: dict[str, Any], failure: Failure) -> None:
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


def _restored_error(kept: list[Any], library: Any) -> Exception:
    name, text, state = kept
    kind = getattr(_errors, name, None) if name else RuntimeError
    if kind is None or not issubclass(kind, Exception):
        kind = getattr(library, name, RuntimeError)
        return restored(kind, "httpx", (text,), {"_request": None, **state})
    if kind is RuntimeError:
        return RuntimeError(text)
    return restored(kind, library.__name__, (text,), {"_request": None, **state})


def _attempt(attempt: Attempt, url: object) -> list[Any]:
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


def _restored_attempt(kept: list[Any], library: Any) -> Attempt:
    status_code, error, seconds, delay = kept
    restored_error: Any = _restored_error(error, library)
    if status_code is not None and isinstance(restored_error, library.HTTPStatusError):
        restored_error.response = library.Response(status_code)
    return Attempt(status_code, restored_error, Timing(*seconds), delay)
