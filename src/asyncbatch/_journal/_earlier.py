"""
The results of earlier runs in a journal, each of which is used once.

A program that runs again mostly has its requests in the order in which they ended before. So the
rows are read ahead in the order in which they were written, which takes a fifth of the time of
finding each by its key in a large file. Rows of plain GETs are found by their URL, so most requests
need no hash.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from asyncbatch._journal._identity import SIZE
from asyncbatch._journal._schema import PLAIN

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

_SELECT = [
    f"SELECT {COLUMNS}, id FROM results WHERE key IN ({', '.join('?' * count)})"  # noqa: S608
    for count in range(AT_ONCE + 1)
]
_SELECT_NUMBERED = [
    f"SELECT {COLUMNS}, id FROM results WHERE id IN ({', '.join('?' * count)})"  # noqa: S608
    for count in range(AT_ONCE + 1)
]
# A column that is not read saves a tenth of the time of a row.
_NEXT = (
    f"SELECT CASE WHEN flags & {PLAIN} AND length(key) = {SIZE} AND kind IS NULL "  # noqa: S608
    "AND facts IS NULL AND head_id IS NOT NULL THEN url ELSE key END, ended_at, status, head_id, "
    "times, attempts, coding, ifnull(body, x''), id "
    f"FROM results WHERE id > ? AND id <= ? ORDER BY id LIMIT {AT_ONCE}"
)


RowAhead: TypeAlias = tuple[Any, ...]
"""
A row that was read ahead: its name, `ended_at`, `status`, `head_id`, `times`, `attempts`, `coding`,
`body`, `id`. The name is the URL, if it is the first success of a plain GET, and else the key.
"""

_NAME, _BODY, _NUMBER = 0, 7, 8


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
        # The rows that were read ahead, by their names, in their order. Some may have been taken
        # by their key since.
        self._ahead: dict[bytes | str, RowAhead] = {}
        self._bytes_ahead = 0
        self._read_to = 0
        # By how many more keys of late were not ahead than were.
        self._missed = 0

    def take_plain(self, urls: Sequence[str | None]) -> list[RowAhead]:
        """
        Take the rows of the first requests, up to one that is not a success that lies ahead.

        Args:
            urls: At most `AT_ONCE`; those of plain GETs as they were given, `None` for any other
                request. One that occurs twice ends it: the second request needs its identity.
        """
        rows: list[RowAhead] = []
        if not self._last:
            return rows
        self._fill()
        pop, add, is_taken, size = self._ahead.pop, rows.append, self._is_taken, 0
        for url in urls:
            row = pop(url, None)  # type: ignore[arg-type]  # of None there is none
            if row is None:
                break
            size += len(row[_BODY])
            number = row[_NUMBER]
            if is_taken[number]:
                break
            is_taken[number] = 1
            add(row)
        self._bytes_ahead -= size
        self._missed = max(0, self._missed - len(rows))
        return rows

    def take_rows(
        self, keys: Sequence[bytes], urls: Sequence[str | None] | None = None
    ) -> tuple[dict[bytes, Any], set[bytes]]:
        """
        Take the rows of some keys.

        Args:
            keys: At most `AT_ONCE`; one that occurs twice gets its row once.
            urls: The URL of each, if it is a plain GET, as given.

        Returns:
            The rows by their keys, and all keys whose rows are taken now.
        """
        if not self._last:
            return {}, set()
        self._read_ahead()
        rows = self._taken_ahead(keys, urls or itertools.repeat(None))
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

    def _taken_ahead(self, keys: Sequence[bytes], urls: Iterable[str | None]) -> dict[bytes, Any]:
        """Take the rows of those keys that are among the rows read ahead."""
        ahead = self._ahead
        # One that was taken is left there, and so is that of another request with this URL.
        numbers = {
            row[_NUMBER]: row[_NAME]
            for key, url in zip(keys, urls, strict=False)
            for row in (ahead.get(key), ahead.get(url) if url is not None else None)
            if row is not None and not self._is_taken[row[_NUMBER]]
        }
        wanted = set(keys)
        rows: dict[bytes, Any] = {}
        for some in _in_parts(list(numbers)):
            for row in self._connection.execute(_SELECT_NUMBERED[len(some)], some):
                if row[0] in wanted:
                    rows[row[0]] = row
                    self._is_taken[row[_ID]] = 1
                    self._bytes_ahead -= len(ahead.pop(numbers[row[_ID]])[_BODY])
        return rows

    def put_back(self, rows: Iterable[RowAhead]) -> None:
        """Undo the taking of rows by `take_plain`."""
        for row in rows:
            self._is_taken[row[_NUMBER]] = 0
            self._ahead[row[_NAME]] = row
            self._bytes_ahead += len(row[_BODY])

    def give_back(self, rows: Iterable[Any]) -> None:
        """Undo the taking of rows by `take_rows`, which finds them again by their keys."""
        for row in rows:
            self._is_taken[row[_ID]] = 0

    def _read_ahead(self) -> None:
        """Read as many rows as are taken at once, and forget the oldest ones beyond the bounds."""
        ahead = self._ahead
        if self._read_some():
            self._fill()
        while len(ahead) > ROWS_AHEAD or self._bytes_ahead > BYTES_AHEAD:
            self._bytes_ahead -= len(ahead.pop(next(iter(ahead)))[_BODY])

    def _fill(self) -> None:
        """Read ahead until the least number of rows with small bodies is there."""
        while len(self._ahead) < LEAST_AHEAD and self._read_some():
            pass

    def _read_some(self) -> bool:
        """Read some rows; return whether there are more, and these have small bodies."""
        if self._read_to >= self._last:
            return False
        size = 0
        before = number = self._read_to
        ahead, is_taken = self._ahead, self._is_taken
        for row in self._connection.execute(_NEXT, (before, self._last)):
            number = row[_NUMBER]
            if is_taken[number]:
                continue
            if ahead.setdefault(row[_NAME], row) is not row:
                continue  # the URL could once be sent, and once not: this one is found by its key
            size += len(row[_BODY])
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


def _in_parts(numbers: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(numbers), AT_ONCE):
        yield numbers[start : start + AT_ONCE]
