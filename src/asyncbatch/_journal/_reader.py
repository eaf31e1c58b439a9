"""
Reading a journal, also while a batch writes to it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx

from asyncbatch._journal._answer import StoredHeads
from asyncbatch._journal._bodies import Bodies, DamagedBody
from asyncbatch._journal._earlier import COLUMNS
from asyncbatch._journal._filesystem import refuse_network
from asyncbatch._journal._record import result_of
from asyncbatch._journal._schema import PLAIN, checked_path, naming, naming_damage, open_to_read
from asyncbatch._journal._store import head_of, record_in, remember
from asyncbatch._values._request import Request
from asyncbatch._values._result import Failure, Result

_AT_ONCE = 100


class Entry(NamedTuple):
    """A result of a journal, with further facts that the journal keeps."""

    result: Result
    is_plain: bool
    """Whether the record alone is enough to send the request again."""
    age: float
    """Seconds since the request ended."""


class JournalReader:
    """
    The results in a journal, in the order in which they came; made by `Journal.read`.

    Iterating is lazy, and includes results that are written meanwhile. The `request` of a result
    has its method and its URL with secrets masked; its body, headers and tag are not kept. The
    `index` counts from 0. A reader may be used as a context manager, and closes itself with its
    last reference.
    """

    def __init__(self, path: Path) -> None:
        shown = os.fspath(path)
        real = checked_path(path, shown)
        refuse_network(real, shown)
        self._shown = shown
        self._connection = open_to_read(real, shown)
        self._bodies = Bodies(real, is_synced=False)
        self._heads = StoredHeads()
        self._raw_heads: dict[int, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<JournalReader {self._shown!r}>"

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __del__(self) -> None:
        connection: sqlite3.Connection | None = getattr(self, "_connection", None)
        if connection is not None:
            connection.close()

    def __iter__(self) -> Iterator[Result]:
        return (entry.result for entry in self.entries())

    def __len__(self) -> int:
        with naming(self._shown):
            count: int = self._connection.execute("SELECT count(*) FROM results").fetchone()[0]
        return count

    def failures(self) -> Iterator[Failure]:
        """Yield the failures; requests in doubt are among them."""
        for entry in self.entries("kind IS NOT NULL"):
            assert isinstance(entry.result, Failure)
            yield entry.result

    def counts(self) -> dict[str, int]:
        """Return the number of successes, as `"ok"`, and of the failures of each kind."""
        with naming(self._shown):
            rows = self._connection.execute(
                "SELECT kind, count(*) FROM results WHERE kind IS NOT NULL GROUP BY kind"
            ).fetchall()
        failed = dict(rows)
        return {"ok": max(0, len(self) - sum(failed.values())), **failed}

    def options(self) -> dict[str, Any]:
        """Return the options that change answers, as the last batch had them."""
        with naming(self._shown):
            row = self._connection.execute(
                "SELECT value FROM settings WHERE name = 'options'"
            ).fetchone()
        with naming_damage(self._shown):
            options: dict[str, Any] = {} if row is None else json.loads(row[0])
        return options

    def entries(self, condition: str = "1") -> Iterator[Entry]:
        """Yield the results, each with further facts that the journal keeps."""
        select = (
            f"SELECT id, {COLUMNS} FROM results "  # noqa: S608  # no value of the caller's
            f"WHERE id > ? AND {condition} ORDER BY id LIMIT {_AT_ONCE}"
        )
        last, index = 0, 0
        while True:
            # Not one long read, which would keep the writer from reusing its log.
            with naming(self._shown):
                rows = self._connection.execute(select, (last,)).fetchall()
            if not rows:
                return
            for number, *row in rows:
                with naming_damage(self._shown):
                    entry = self._entry(row, index)
                yield entry
                last, index = number, index + 1

    def _entry(self, row: list[Any], index: int) -> Entry:
        record = record_in(row, self._head(row[6]))
        try:
            content = self._bodies.content(row[-2], row[-1])
        except DamagedBody:
            content = b""
        item = Request(record.url, record.method)
        result = result_of(record, content, index, item, httpx, self._heads)
        return Entry(result, bool(record.flags & PLAIN), time.time() - record.ended_at)

    def _head(self, head_id: int | None) -> bytes | None:
        if head_id is None:
            return None
        head = self._raw_heads.get(head_id)
        if head is None:
            with naming(self._shown):
                head = head_of(self._connection, head_id)
            remember(self._raw_heads, head_id, head)
        return head
