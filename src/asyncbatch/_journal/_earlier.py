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
from collections.abc import Iterable, Sequence
from typing import Any

from asyncbatch._journal._identity import is_first
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
_KEY, _KIND, _URL, _FLAGS, _FACTS, _BODY = map(
    COLUMNS.split(", ").index, ("key", "kind", "url", "flags", "facts", "body")
)

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
        # The rows that were read ahead, in their order, by the URL or the key; see `_name_of`. Some
        # may have been taken by their key since.
        self._ahead: dict[bytes | str, Any] = {}
        self._bytes_ahead = 0
        self._read_to = 0
        # By how many more keys of late were not ahead than were.
        self._missed = 0

    def take_plain(self, urls: Sequence[str | None]) -> list[Any]:
        """
        Take the rows of the first requests, up to one that is not a success that lies ahead.

        Args:
            urls: At most `AT_ONCE`; those of plain GETs as they were given, `None` for any other
                request. One that occurs twice ends it: the second request needs its identity.
        """
        rows: list[Any] = []
        if not self._last:
            return rows
        self._fill()
        pop, is_taken, size = self._ahead.pop, self._is_taken, 0
        for url in urls:
            row = pop(url, None)  # type: ignore[arg-type]  # of None there is none
            if row is None:
                break
            if row[_KIND] is not None or row[_FACTS] is not None or is_taken[row[_ID]]:
                self._ahead[row[_URL]] = row
                break
            size += len(row[_BODY] or b"")
            is_taken[row[_ID]] = 1
            rows.append(row)
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
        rows: dict[bytes, Any] = {}
        for key, url in zip(keys, urls or itertools.repeat(None), strict=False):
            row = self._pop(key, url)
            if row is not None:
                self._is_taken[row[_ID]] = 1
                rows[key] = row
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

    def _pop(self, key: bytes, url: str | None) -> Any:
        """Remove a row from those read ahead; `None` if it is not among them, or was taken."""
        ahead = self._ahead
        name: bytes | str = key if url is None else url
        row = ahead.get(name)
        if row is None or row[_KEY] != key:
            name = key
            row = ahead.get(key)
        if row is None:
            return None
        del ahead[name]
        self._bytes_ahead -= _size_of(row)
        return None if self._is_taken[row[_ID]] else row

    def _read_ahead(self) -> None:
        """Read as many rows as are taken at once, and forget the oldest ones beyond the bounds."""
        ahead = self._ahead
        if self._read_some():
            self._fill()
        while len(ahead) > ROWS_AHEAD or self._bytes_ahead > BYTES_AHEAD:
            self._bytes_ahead -= _size_of(ahead.pop(next(iter(ahead))))

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
            number = row[_ID]
            if not is_taken[number]:
                # As `_name_of`, without the call.
                name = row[_URL] if row[_FLAGS] & PLAIN and is_first(row[_KEY]) else row[_KEY]
                if name in ahead:  # the URL could once be sent, and once not
                    name = row[_KEY]
                ahead[name] = row
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
        name = _name_of(row)
        self._ahead[row[_KEY] if name in self._ahead else name] = row
        self._bytes_ahead += _size_of(row)


def _name_of(row: Any) -> bytes | str:
    """Return the name of a row: its URL if it is the first plain GET of that URL, else its key."""
    name: bytes | str = row[_URL] if row[_FLAGS] & PLAIN and is_first(row[_KEY]) else row[_KEY]
    return name


def _size_of(row: Any) -> int:
    body = row[_BODY]
    return 0 if body is None else len(body)
