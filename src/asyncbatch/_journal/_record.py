"""
Records: a result as the journal keeps it, and back.

Values only; `_store` writes and reads them. A record has no headers and no body of the request, and
no secret of its URL or of the response.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from asyncbatch._journal._answer import StoredAnswer, StoredHeads, url_of
from asyncbatch._journal._failure import (
    add_error,
    attempt_facts,
    flags_of,
    restored_attempt,
    restored_error,
)
from asyncbatch._journal._policy import KeptResult
from asyncbatch._journal._saved import SavedFile, names_file, saved_in
from asyncbatch._journal._schema import OF_FILE, PERMANENT, PLAIN, UNDONE
from asyncbatch._lanes.response._response_builder import PlainResponseBuilder
from asyncbatch._values._errors import FailureKind, InDoubt
from asyncbatch._values._masking import has_secrets, masked_url
from asyncbatch._values._pickling import restored
from asyncbatch._values._request import Request, method_of, plain_url
from asyncbatch._values._result import Failure, Result, Success, draft
from asyncbatch._values._timing import Course, Timing
from asyncbatch._values._urls import ABSOLUTE, BLANKS, text_of

_TIMES = struct.Struct("<10f")
_NAN = math.nan


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
    key: bytes,
    result: Result,
    ended_at: float,
    heads: StoredHeads,
    is_keyed: bool = False,
    has_files: bool = False,
) -> Record:
    """
    Return the record of a result.

    Args:
        key: Its key in the journal.
        result: The result.
        ended_at: When it ended, in seconds since 1970, if it does not know that itself.
        heads: The heads of responses.
        is_keyed: Whether its request may be known by something that is not in the record.
        has_files: Whether bodies go to files, unless their requests say otherwise.
    """
    if not (is_keyed or has_files):
        usual = _usual_record(key, result, ended_at, heads)
        if usual is not None:
            return usual
    item = result._item  # pyright: ignore[reportPrivateUsage]
    answer = result._answer  # pyright: ignore[reportPrivateUsage]
    plain = plain_url(item)
    facts: dict[str, Any] = {}
    flags = 0
    if plain is not None:
        method, url = "GET", text_of(plain)
        # Neither a key nor the place of a file is in the record.
        needs_more = is_keyed or has_files or (isinstance(item, Request) and item.key is not None)
        if ABSOLUTE.match(url) and not needs_more and not has_secrets(url) and _is_storable(url):
            flags = PLAIN
        else:
            url = _storable(masked_url(url))
    else:
        method, url = _storable(method_of(item)), _storable(masked_url(url_of(item)))
    if answer is not None and type(answer) is not PlainResponseBuilder:
        final_url = masked_url(result.url)
        if final_url != url:
            facts["final_url"] = final_url
    if isinstance(result, Failure):
        flags |= flags_of(result)
        if result.kind is FailureKind.invalid_request and (has_files or names_file(item)):
            flags |= OF_FILE
        add_error(facts, result)
    if (saved := saved_in(result)) is not None:
        facts["saved"] = saved
    if result.history:
        facts["history"] = [attempt_facts(each, result.request.url) for each in result.history]
    return Record(
        key,
        None if result.kind is None else str(result.kind),
        _ended_at(result, ended_at),
        method,
        url,
        result.status_code,
        None if answer is None else heads.of(answer),
        _times_of(result),
        result.attempts,
        flags,
        json.dumps(facts) if facts else None,
    )


def _usual_record(key: bytes, result: Any, now: float, heads: StoredHeads) -> Record | None:
    """
    Return the record of a success with nothing special, as most are; `None` for any other result.

    It is what `record_of` returns, in two fifths of the time: the event loop waits meanwhile.
    """
    item, answer, course = result._item, result._answer, result._network
    if (
        type(item) is not str
        or type(answer) is not PlainResponseBuilder
        or type(course) is not tuple
        or type(result) is not Success
        or result.history
        or result._saved is not None  # pyright: ignore[reportPrivateUsage]
    ):
        return None
    url = item.strip(BLANKS)
    if not (url.startswith(_WEB) and url.isascii()) or has_secrets(url):
        return None
    begun, send, sent, first, ended, dns, connect, tls, _ = course
    started, elapsed = result._started, result.elapsed  # pyright: ignore[reportPrivateUsage]
    return Record(
        key,
        None,
        started + elapsed if started else now,
        "GET",
        url,
        answer.status_code,
        heads.of(answer),
        # As `_times_of`, without the call.
        _TIMES.pack(
            elapsed,
            result._queued,  # pyright: ignore[reportPrivateUsage]
            result._throttled,  # pyright: ignore[reportPrivateUsage]
            send - begun if send else _NAN,
            sent - begun if sent else _NAN,
            first - begun if first else _NAN,
            ended - begun if ended else _NAN,
            _NAN if dns is None else dns,
            _NAN if connect is None else connect,
            _NAN if tls is None else tls,
        ),
        result.attempts,
        PLAIN,
        None,
    )


_WEB = ("http://", "https://")


def record_before_sending(key: bytes, item: Any, now: float) -> Record:
    """Return the record of a request that must not be sent twice, before its first byte is sent."""
    kind, url = str(FailureKind.in_doubt), _storable(masked_url(url_of(item)))
    times = _TIMES.pack(0.0, 0.0, 0.0, *[_NAN] * 7)
    method = _storable(method_of(item))
    return Record(key, kind, now, method, url, None, None, times, 1, 0, None)


def _is_storable(text: str) -> bool:
    """Whether SQLite takes a text: it has no lone surrogates, which stand for bytes of a file."""
    return text.isascii() or _storable(text) == text


def _storable(text: str) -> str:
    """Return a text with its lone surrogates escaped. A request with one is refused anyway."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def result_of(
    record: Record,
    content: bytes,
    index: int,
    item: Any,
    library: Any,
    heads: StoredHeads,
    path: Path | None = None,
) -> Result:
    """
    Return the result that a record was made of.

    Args:
        record: The record.
        content: The body.
        index: The position of the request in the input.
        item: The request, in any form.
        library: The module `httpx` or `httpx2`, whose response is made.
        heads: The parsed heads.
        path: The file of the body, if it is to be named otherwise than in the record.
    """
    if record.facts is None and record.kind is None and record.head is not None:
        parsed = heads.parsed(record.head)
        stored = StoredAnswer(library, record.status or 0, parsed, None, heads.default_encoding)
        times, ended_at, attempts = record.times, record.ended_at, record.attempts
        return plain_success(stored, times, ended_at, attempts, content, index, item)
    facts: dict[str, Any] = {} if record.facts is None else json.loads(record.facts)
    elapsed, queued, throttled, *moments = _TIMES.unpack(record.times)
    answer = None
    url = facts.get("final_url")
    if record.head is not None:
        parsed = heads.parsed(record.head)
        answer = StoredAnswer(library, record.status or 0, parsed, url, heads.default_encoding)
    history = tuple(restored_attempt(each, library) for each in facts.get("history", ()))
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
        "started": _started(record, elapsed),
        "from_journal": True,
    }
    if saved := facts.get("saved"):
        file = SavedFile(*saved)
        common["saved"] = path or Path(file.path), file.size, file.resumed_from
    if record.kind is None:
        return Success(url=None if answer else _url(record, library), **common)
    kind = FailureKind(record.kind)
    error: Any = None
    if kind is FailureKind.in_doubt:
        error = restored(InDoubt, library.__name__, (_DOUBT,), {"_request": None})
    elif "error" in facts:
        error = restored_error(facts["error"], library, has_response=answer is not None)
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


def plain_success(
    answer: StoredAnswer,
    times: bytes,
    ended_at: float,
    attempts: int,
    content: bytes,
    index: int,
    item: Any,
) -> Success:
    """Return the result of a record with nothing special, as most are, in half of the time."""
    elapsed, queued, throttled, send, sent, first, ended, dns, connect, tls = _TIMES.unpack(times)
    made = draft()  # as `success` does, without the call
    made.index = index
    made._item = item
    made._url = made._saved = None
    made.elapsed = elapsed
    made.attempts = attempts
    made.history = ()
    made._queued = queued
    made._throttled = throttled
    whole = send + sent + first + ended
    if whole == whole and dns != dns and connect != connect and tls != tls:
        # As `_course` of an exchange that came to its end over a connection in use.
        made._network = 1.0, 1.0 + send, 1.0 + sent, 1.0 + first, 1.0 + ended, None, None, None, 0
    else:
        made._network = _course((send, sent, first, ended, dns, connect, tls))
    made._content = content
    made._answer = answer
    made._started = ended_at - elapsed if attempts else 0.0
    made.from_journal = True
    made.__class__ = Success
    return made  # type: ignore[no-any-return]


_DOUBT = (
    "Not sent again: it may have been carried out in an earlier run, of which the journal has no "
    "whole answer; Journal(retry='all') sends it"
)


def file_of(record: Record) -> SavedFile | None:
    """Return the file of the body, as a record names it."""
    saved = None if record.facts is None else json.loads(record.facts).get("saved")
    return None if saved is None else SavedFile(*saved)


def kept_of(record: Record, now: float, *, has_body: bool) -> KeptResult:
    """Return the facts of a record that the policy needs."""
    return KeptResult(
        kind=None if record.kind is None else FailureKind(record.kind),
        status_code=record.status,
        is_permanent=bool(record.flags & PERMANENT),
        is_undone=bool(record.flags & UNDONE),
        is_of_file=bool(record.flags & OF_FILE),
        age=now - record.ended_at,
        has_body=has_body,
    )


def _url(record: Record, library: Any) -> Any:
    try:
        return library.URL(record.url)
    except Exception:
        return None


# Times


def _ended_at(result: Result, now: float) -> float:
    started = result._started  # pyright: ignore[reportPrivateUsage]
    return started + result.elapsed if started else now


def _started(record: Record, elapsed: float) -> float:
    return record.ended_at - elapsed if record.attempts else 0.0


def _times_of(result: Result) -> bytes:
    network = result._network  # pyright: ignore[reportPrivateUsage]
    course = _course_of(network) if isinstance(network, Timing) else network
    begun, send, sent, first, ended, dns, connect, tls, _ = course
    return _TIMES.pack(
        result.elapsed,
        result._queued,  # pyright: ignore[reportPrivateUsage]
        result._throttled,  # pyright: ignore[reportPrivateUsage]
        send - begun if send else _NAN,
        sent - begun if sent else _NAN,
        first - begun if first else _NAN,
        ended - begun if ended else _NAN,
        _NAN if dns is None else dns,
        _NAN if connect is None else connect,
        _NAN if tls is None else tls,
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


def _course(moments: Sequence[float]) -> Course:
    send, sent, first, ended, dns, connect, tls = moments
    # A moment that is not a number was not reached.
    return (
        1.0,
        1.0 + send if send == send else 0.0,
        1.0 + sent if sent == sent else 0.0,
        1.0 + first if first == first else 0.0,
        1.0 + ended if ended == ended else 0.0,
        dns if dns == dns else None,
        connect if connect == connect else None,
        tls if tls == tls else None,
        0,
    )
