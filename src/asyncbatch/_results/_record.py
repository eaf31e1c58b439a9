"""
Records: results as rows of a table, with the same columns for successes and failures.

Values only: no library for tables is needed here, and no response is built. User names and
passwords in URLs and errors are masked.

A lone surrogate, as from a line that is not UTF-8, is escaped: neither JSON nor Arrow can hold it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from asyncbatch._results._heads import Heads
from asyncbatch._values._errors import FailureKind, message_of
from asyncbatch._values._redaction import (
    redacted,
    redacted_url,
    redacted_urls,
    secrets_in,
    shown,
    without,
)
from asyncbatch._values._request import Request, method_of
from asyncbatch._values._result import Failure, Result, Success
from asyncbatch._values._timing import NETWORK_PHASES, moment_of, phase_columns

PHASES = ("queued", "throttled", *NETWORK_PHASES)
"""The names of the columns with the phases."""

COLUMNS = (
    *("index", "tag", "url", "final_url", "method", "status", "ok", "kind", "error", "attempts"),
    *("content", "headers", "from_journal", "path", "started", "elapsed"),
    *PHASES,
)
"""The names of the columns, in their order; `docs/howto/tables.md` says what is in each."""

CHUNK = 4096
"""Results that are put into columns at once."""

SIMPLE = (str, bool, int, float)
"""The types of tags that have a column of their own type."""

_TEXTS = ("tag", "url", "final_url", "method", "error", "path")
"""The columns with texts that may hold anything that a caller or a server wrote."""

_INT64 = range(-(2**63), 2**63)
_ERRORS = {4: "Client error", 5: "Server error"}


class _Fields(NamedTuple):
    """The fields of some results, without building any response; one list for each."""

    indices: list[int]
    items: list[Any]
    urls: list[Any]
    answers: list[Any]
    kinds: list[FailureKind | None]
    attempts: list[int]
    contents: list[bytes]
    files: list[tuple[Path, int, int | None] | None]
    from_journal: list[bool]
    started: list[float]
    elapsed: list[float]
    queued: list[float]
    throttled: list[float]
    networks: list[Any]


def records_of(
    results: Sequence[Result], tag_types: Collection[type] | None = None
) -> Iterator[dict[str, Any]]:
    """
    Yield each result as a dict of plain Python values, by the names of the columns.

    Args:
        results: The results.
        tag_types: The types of tags that stay as they are; of others, `repr` is taken. By default
            it is the type of all of them, if they have one and it is simple.
    """
    if tag_types is None:
        tag_types = tag_types_of(results)
    for start in range(0, len(results), CHUNK):
        columns = columns_of(results[start : start + CHUNK], tag_types)
        columns["started"] = [moment_of(seconds) for seconds in columns["started"]]
        columns["headers"] = columns["headers"].rows()
        for name in _TEXTS:
            columns[name] = _encodable_column(columns[name])
        for row in zip(*columns.values(), strict=True):
            yield dict(zip(COLUMNS, row, strict=True))


class PassingResults(ABC):
    """Results that can be read once, such as those of a stream."""

    @abstractmethod
    def _to_come(self) -> Iterator[Result]:
        """
        Return the results that are still to come.

        Raises:
            RuntimeError: If a table of them would look whole and is not.
        """


def to_be_read(results: Iterable[Result]) -> Iterable[Result]:
    """
    Return results for a table, or the like, of all of them; of a stream, those still to come.

    Raises:
        RuntimeError: If it is a stream that has ended, was left, or has lost results.
    """
    if isinstance(results, PassingResults):
        return results._to_come()  # pyright: ignore[reportPrivateUsage]
    return results


def as_result(value: object) -> Result:
    """
    Return a value that is a result.

    Raises:
        TypeError: If it is none.
    """
    if not isinstance(value, Success | Failure):
        raise TypeError(f"it must be a Success or a Failure, not {shown(value)}")
    return value


def columns_of(results: Iterable[Result], tag_types: Collection[type] = (str,)) -> dict[str, Any]:
    """
    Return the columns of some results, by their names.

    They are lists of plain Python values, but for `headers`, which are `Heads`. `started` is in
    seconds since 1970, 0.0 for never. Columns with the same values may be one list.

    Args:
        results: The results, at least one.
        tag_types: The types of tags that stay as they are; of others, `repr` is taken.
    """
    results = list(results)
    found = _fields_of(results)
    return {
        "index": found.indices,
        **_asked(found, tag_types),
        "status": [None if answer is None else answer.status_code for answer in found.answers],
        **_outcomes(found, results),
        "attempts": found.attempts,
        "content": found.contents,
        "headers": Heads(found.answers),
        "from_journal": found.from_journal,
        "path": [None if file is None else str(file[0]) for file in found.files],
        "started": found.started,
        "elapsed": found.elapsed,
        "queued": found.queued,
        "throttled": found.throttled,
        **phase_columns(found.networks),
    }


def _fields_of(results: Sequence[Any]) -> _Fields:
    """
    Return the fields of some results.

    One list after the other, since a tuple for each result would set the garbage collector off,
    which takes longer than all the rest.
    """
    return _Fields(
        [each.index for each in results],
        [each._item for each in results],
        [each._url for each in results],
        [each._answer for each in results],
        [each.kind for each in results],
        [each.attempts for each in results],
        [each._content for each in results],
        [each._saved for each in results],
        [each.from_journal for each in results],
        [each._started for each in results],
        [each.elapsed for each in results],
        [each._queued for each in results],
        [each._throttled for each in results],
        [each._network for each in results],
    )


def _asked(found: _Fields, tag_types: Collection[type]) -> dict[str, list[Any]]:
    """Return what was asked for; `url` and `final_url` are one list if no URL has changed."""
    items = found.items
    asked: list[str] = items
    tags: list[Any] = [None] * len(items)
    methods = ["GET"] * len(items)
    if set(map(type, items)) != {str}:
        tags = [None if type(item) is str else _tag(item, tag_types) for item in items]
        asked = [item if type(item) is str else _asked_url(item) for item in items]
        methods = ["GET" if type(item) is str else method_of(item) for item in items]
    urls = redacted_urls(asked)
    final = _final_urls(found)
    # Compared by identity mostly: what is sent as it was given is the same object.
    final_urls = urls if final == asked else _redacted_column(final)
    return {"tag": tags, "url": urls, "final_url": final_urls, "method": methods}


def _outcomes(found: _Fields, results: Sequence[Result]) -> dict[str, list[Any]]:
    kinds, count = found.kinds, len(found.kinds)
    if kinds.count(None) == count:
        return {"ok": [True] * count, "kind": kinds, "error": kinds}
    return {
        "ok": [kind is None for kind in kinds],
        "kind": [None if kind is None else kind.value for kind in kinds],
        "error": [
            error_text(result) if isinstance(result, Failure) else None for result in results
        ],
    }


# Tags


def tag_types_of(results: Iterable[Result]) -> tuple[type, ...]:
    """Return the type of all tags but `None`, if they have only one, and it is simple."""
    found: set[type] = set()
    for result in results:
        item = result._item  # pyright: ignore[reportPrivateUsage]
        if type(item) is not str and (tag := _tag_in(item)) is not None:
            found.add(_type_of(tag))
            if len(found) > 1:
                return ()
    return tuple(found.intersection(SIMPLE))


def _type_of(tag: object) -> type:
    # A larger number has no place in a column of numbers.
    return object if type(tag) is int and tag not in _INT64 else type(tag)


def _tag_in(item: object) -> Any:
    tag: Any = item.tag if isinstance(item, Request) else None
    if type(tag).__module__ == "numpy":  # a row of a data frame has numbers of its own
        value = tag.item() if hasattr(tag, "dtype") and not getattr(tag, "shape", ()) else tag
        return value if type(value) in SIMPLE else tag
    return tag


def _tag(item: object, tag_types: Collection[type]) -> Any:
    tag = _tag_in(item)
    return tag if tag is None or type(tag) in tag_types else text_of_tag(tag)


def text_of_tag(tag: object) -> str:
    """Return the `repr` of a tag, or a substitute if that raises."""
    try:
        return repr(tag)
    except Exception:
        return f"<{type(tag).__name__} object>"


# Texts


def encodable(text: str) -> str:
    """Return a text with its lone surrogates escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _encodable_column(column: list[Any]) -> list[Any]:
    try:
        # All at once, since hardly ever one of them needs it.
        "".join([value for value in column if type(value) is str]).encode()
    except UnicodeEncodeError:
        return [encodable(value) if type(value) is str else value for value in column]
    return column


# URLs and errors


def _asked_url(item: Any) -> str:
    if type(item) is str:
        return item
    url = Request.of(item).url
    return str.__str__(url) if isinstance(url, str) else str(url)


def asked_url(result: Result) -> str:
    """Return the URL of the request as it was given, with its secrets."""
    return _asked_url(result._item)  # pyright: ignore[reportPrivateUsage]


def _final_urls(found: _Fields) -> list[str | None]:
    kinds = set(map(type, found.answers))
    if len(kinds) == 1 and (urls := _sent_urls(kinds.pop(), found.items)) is not None:
        return urls
    urls = []
    last = build = None
    for item, url, answer in zip(found.items, found.urls, found.answers, strict=True):
        if answer is not last:  # most results of a connection share the object
            last, build = answer, getattr(answer, "final_url", None)
        urls.append(_final_url(item, url, answer) if build is None else build(item))
    return urls


def _sent_urls(kind: Any, items: list[Any]) -> list[str | None] | None:
    """Return the final URLs of responses that are built by one kind of object, if it tells them."""
    final_urls = getattr(kind, "final_urls", None)
    return None if final_urls is None else final_urls(items)


def _redacted_column(urls: list[str | None]) -> list[str | None]:
    if None not in urls:
        return redacted_urls(urls)  # type: ignore[arg-type, return-value]  # there is no None
    return [None if url is None else redacted_url(url) for url in urls]


def _final_url(item: Any, url: Any, answer: Any) -> str | None:
    if answer is None:
        return None if url is None else str(url)
    build = getattr(answer, "final_url", None)
    return str(answer.url) if build is None else build(item)


def error_text(failure: Failure) -> str:
    """Return the type and the message of an error, for tables and lines."""
    url = asked_url(failure)
    error = failure._error  # pyright: ignore[reportPrivateUsage]
    if error is None:
        name, text = _status_error(failure)
    else:
        name, text = type(error).__name__, message_of(error)
    text = without(secrets_in(url), redacted(text.replace(url, redacted_url(url))))
    return f"{name}: {text}" if text else name


def _status_error(failure: Failure) -> tuple[str, str]:
    """Return the name and the message of the error of a failed status, without making it."""
    answer: Any = failure._answer  # pyright: ignore[reportPrivateUsage]
    item, own_url = failure._item, failure._url  # pyright: ignore[reportPrivateUsage]
    head = getattr(answer, "head", None)
    reason = answer.reason_phrase if head is None else head.reason.decode("ascii", "ignore")
    status = answer.status_code
    sort = _ERRORS.get(status // 100, "Invalid status code")
    url = redacted_url(_final_url(item, own_url, answer))
    return "HTTPStatusError", redacted(f"{sort} '{status} {reason}' for url '{url}'")
