"""
Matches each request of this run with a result of earlier runs.

Equal requests get the results of equal ones, in their order. So a temporary table counts how often
each identity has occurred in this run; there may be millions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from asyncbatch._journal._earlier import AT_ONCE, EarlierResults, rows_of

SEEN_CACHE = 16 * 1024
"""KiB of the identities of this run that are kept in memory; the others lie in a temporary file."""

# How often each key was taken before in this run, and the contents of the first request with it.
_TAKE = [
    f"INSERT INTO temp.seen VALUES {', '.join(['(?, ?, ?)'] * count)} "  # noqa: S608
    "ON CONFLICT (key) DO UPDATE SET n = n + 1 RETURNING key, n, contents"
    for count in range(AT_ONCE + 1)
]
_TAKE_MORE = "UPDATE temp.seen SET n = n + ? WHERE key = ?"


class Match(NamedTuple):
    """The match of one request of this run."""

    key: bytes
    row: Any
    is_same: bool = True
    is_first: bool = False
    """Whether it is the first one with its identity, and its result one of an earlier run."""


class Matches:
    """
    The requests of this run that were looked up in the journal.

    Args:
        connection: The journal.
        earlier: The results of the runs before.
    """

    def __init__(self, connection: sqlite3.Connection, earlier: EarlierResults) -> None:
        self._connection = connection
        self._earlier = earlier
        connection.execute(f"PRAGMA temp.cache_size = -{SEEN_CACHE}")
        connection.execute("PRAGMA temp.journal_mode = OFF")
        connection.execute(
            "CREATE TEMP TABLE seen (key BLOB PRIMARY KEY, n INTEGER NOT NULL, "
            "contents BLOB) WITHOUT ROWID"
        )

    def match(
        self, identities: Sequence[tuple[bytes, bytes | None]], nth: Any, urls: Sequence[str | None]
    ) -> list[Match]:
        """
        Match each request with a key that no other one of this run has, and with its result.

        Args:
            identities: As for `Store.find`, at most `AT_ONCE`.
            nth: As for `Store.find`.
            urls: As for `Store.find`.
        """
        firsts = [nth(key, 0) if contents is None else None for key, contents in identities]
        rows, used = self._earlier.take_rows(
            [first for first in firsts if first is not None],
            [url for first, url in zip(firsts, urls, strict=True) if first is not None],
        )
        taken: list[Match | None] = []
        left = []
        for first, identity in zip(firsts, identities, strict=True):
            row = None if first is None else rows.pop(first, None)
            if row is None or first is None:
                left.append((*identity, first in used))
                taken.append(None)
            else:
                taken.append(Match(first, row, is_first=True))
        rest = iter(self._take_counted(left, nth) if left else ())
        return [next(rest) if one is None else one for one in taken]

    def _take_counted(
        self, asked: Sequence[tuple[bytes, bytes | None, bool]], nth: Any
    ) -> list[Match]:
        """
        Match requests by counting how often each identity was asked for in this run.

        Args:
            asked: The identities, and whether the result of the first request with it was taken.
            nth: As for `match`.
        """
        counts: dict[bytes, int] = {}
        values: list[Any] = []
        for key, contents, is_used in asked:
            counts[key] = counts.get(key, 0) + 1
            if counts[key] == 1:
                values += (key, int(is_used), contents)
        rows = self._connection.execute(_TAKE[len(counts)], values).fetchall()
        if len(counts) < len(asked):  # equal requests among them
            more = [(count - 1, key) for key, count in counts.items() if count > 1]
            self._connection.executemany(_TAKE_MORE, more)
        before = {key: (n, contents) for key, n, contents in rows}
        keys = []
        # The first one with an identity that is no key of the caller's has no result here.
        with_results = []
        for key, contents, _ in asked:
            n, first = before[key]
            before[key] = n + 1, first
            keys.append((nth(key, n), contents is None or first == contents))
            if n or contents is not None:
                with_results.append(keys[-1][0])
        found = rows_of(self._connection, with_results)
        return [Match(key, found.get(key), is_same=is_same) for key, is_same in keys]

    def give_back(
        self, identities: Sequence[tuple[bytes, bytes | None]], taken: Sequence[Match]
    ) -> None:
        """Undo the taking of some requests, of which each has the match at its place."""
        self._earlier.give_back([one.row for one in taken if one.is_first])
        counted = [
            (-1, key) for (key, _), one in zip(identities, taken, strict=True) if not one.is_first
        ]
        self._connection.executemany(_TAKE_MORE, counted)

    def send_again(self, keys: Sequence[bytes]) -> None:
        """
        Note that results that were found are asked for again.

        Args:
            keys: The identities of their requests. Further equal ones of this run get other keys,
                when the new results have taken the place of the earlier ones, too.
        """
        self._connection.executemany(
            "INSERT OR IGNORE INTO temp.seen VALUES (?, 0, NULL)", [(key,) for key in keys]
        )
