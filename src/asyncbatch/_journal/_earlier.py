"""
The results that earlier runs have left in a journal, each of which is taken once.

A program that runs again mostly asks for its requests in the order in which they ended before. So
the rows are read ahead in the order in which they were written, which takes a fifth of the time of
finding each by its key in a large file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

COLUMNS = (
    "key, kind, ended_at, method, url, status, head_id, times, attempts, flags, facts, coding, body"
)

AT_ONCE = 64
"""Most rows in one statement. SQLite lets other threads run while it works on it."""

LEAST_AHEAD = 256
"""Rows that are read ahead at least: requests under way together end in another order."""

ROWS_AHEAD = 1024
"""Most rows that are kept while no request has asked for them."""

BYTES_AHEAD = 4 * 1024 * 1024
"""Most bytes of the bodies of these rows."""

_ID = len(COLUMNS.split(", "))
_BODY = _ID - 1

_SELECT = [
    f"SELECT {COLUMNS}, id FROM results WHERE key IN ({', '.join('?' * count)})"  # noqa: S608
    for count in range(AT_ONCE + 1)
]
_NEXT = f"SELECT {COLUMNS}, id FROM results WHERE id > ? AND id <= ? ORDER BY id LIMIT {AT_ONCE}"  # noqa: S608


def rows_of(connection: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, Any]:
    """Return the rows of at most `AT_ONCE` keys; the columns of a row are `COLUMNS` and `id`."""
    if not keys:
        return {}
    return {row[0]: row for row in connection.execute(_SELECT[len(keys)], keys)}


class EarlierResults:
    """
    The rows that were in the journal when it was opened.

    Args:
        connection: The journal.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # The last row: what this run writes comes after it, also in place of an earlier row.
        self._last: int = connection.execute("SELECT ifnull(max(id), 0) FROM results").fetchone()[0]
        # Whether each row was taken. A byte for each, where a table of keys would take forty.
        self._is_taken = bytearray(self._last + 1)
        # The rows that were read ahead, in their order, and the bytes of their bodies.
        self._ahead: dict[bytes, Any] = {}
        self._bytes_ahead = 0
        self._read_to = 0
        # By how many more keys of late were not ahead than were.
        self._missed = 0

    def take(self, keys: Sequence[bytes]) -> tuple[dict[bytes, Any], set[bytes]]:
        """
        Take the rows of some keys.

        Args:
            keys: At most `AT_ONCE`; one that occurs twice gets its row once.

        Returns:
            The rows by their keys, and all keys whose rows are taken now.
        """
        if not self._last:
            return {}, set()
        self._read_ahead()
        rows: dict[bytes, Any] = {}
        pop, is_taken, size = self._ahead.pop, self._is_taken, 0
        for key in keys:
            row = pop(key, None)
            if row is not None:
                size += len(row[_BODY] or b"")
                is_taken[row[_ID]] = 1
                rows[key] = row
        self._bytes_ahead -= size
        used = set(rows)
        if len(rows) == len(keys):
            self._missed = max(0, self._missed - len(rows))
            return rows, used
        missing = [key for key in dict.fromkeys(keys) if key not in rows]
        self._missed = max(0, self._missed + len(missing) - len(rows))
        found = rows_of(self._connection, missing)
        for key, row in found.items():
            if row[_ID] > self._last:
                continue
            used.add(key)
            if not self._is_taken[row[_ID]]:
                self._is_taken[row[_ID]] = 1
                rows[key] = row
        if self._missed > AT_ONCE:
            self._skip_to([row[_ID] for row in found.values()])
        return rows, used

    def put_back(self, rows: Iterable[Any]) -> None:
        """Undo the taking of rows."""
        for row in rows:
            self._is_taken[row[_ID]] = 0
            self._keep(row)

    def _read_ahead(self) -> None:
        """Read as many rows as are taken at once, and forget the oldest ones beyond the bounds."""
        ahead = self._ahead
        may_go_on = self._read_some()
        while may_go_on and len(ahead) < LEAST_AHEAD:
            may_go_on = self._read_some()
        while len(ahead) > ROWS_AHEAD or self._bytes_ahead > BYTES_AHEAD:
            self._bytes_ahead -= _size_of(ahead.pop(next(iter(ahead))))

    def _read_some(self) -> bool:
        """Read some rows; return whether there are more, and these have small bodies."""
        if self._read_to >= self._last:
            return False
        size = 0
        before = number = self._read_to
        ahead, is_taken = self._ahead, self._is_taken
        for row in self._connection.execute(_NEXT, (before, self._last)):
            number = row[_ID]
            if not is_taken[number]:
                ahead[row[0]] = row
                size += len(row[_BODY] or b"")
                if size >= BYTES_AHEAD // 4:
                    break
        self._bytes_ahead += size
        # Without a row, this run has replaced the last ones.
        self._read_to = self._last if number == before else number
        return size < BYTES_AHEAD // 4 and self._read_to < self._last

    def _skip_to(self, numbers: Sequence[int]) -> None:
        """Go on with the first of these rows that is beyond those read: most are not ahead."""
        beyond = [number for number in numbers if self._read_to < number <= self._last]
        if beyond:
            self._read_to = min(beyond)
        self._missed = 0

    def _keep(self, row: Any) -> None:
        self._ahead[row[0]] = row
        self._bytes_ahead += _size_of(row)


def _size_of(row: Any) -> int:
    body = row[_BODY]
    return 0 if body is None else len(body)
