"""
The open journal: finds results, and writes them in groups.

It blocks, and is used only in the thread of `Writer`. `find` sees a result as soon as it is
added; it is durable when `write` returns.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from asyncbatch._journal._bodies import LEFT_OUT, Bodies, DamagedBody
from asyncbatch._journal._earlier import AT_ONCE, COLUMNS, EarlierResults, RowAhead
from asyncbatch._journal._lock import FileLock
from asyncbatch._journal._matches import Match, Matches
from asyncbatch._journal._record import Record
from asyncbatch._journal._schema import UNDONE, is_out_of_space, naming, naming_damage, open_journal
from asyncbatch._values._errors import JournalError

BodiesTypes: TypeAlias = Literal["all", "ok", "none"]
Durability: TypeAlias = Literal["process", "power"]

WRITTEN_AT_ONCE = 64
"""
Most rows in one `INSERT`. The event loop waits while these rows are made, some 0.3 ms, and goes on
while SQLite works on them. Then this thread waits for the loop, up to a turn of it: with half as
many, it falls behind a busy loop.
"""


class OutOfSpace(Exception):
    """The file system, or a quota on it, has no space left."""


class _Moved(Exception):
    """The file is no longer where it was opened."""


class Found(NamedTuple):
    """What the journal has about one request of this run."""

    key: bytes
    """The key of its result."""
    record: Record | None
    content: bytes
    has_body: bool
    """Whether the body, if it was to be kept, is there and undamaged."""
    is_same: bool
    """Whether an earlier request of this run with the same key has the same contents."""


class Store:
    """
    A journal that is open for writing.

    Args:
        path: The path of the journal, without symbolic links.
        shown: The path as the caller gave it, for messages.
        durability: As for `Journal`.
        bodies: As for `Journal`.

    Raises:
        JournalInUse: If another batch writes to it.
        JournalError, OSError: If it cannot be used; the file is left as it was.
    """

    def __init__(
        self, path: Path, shown: str, *, durability: Durability, bodies: BodiesTypes
    ) -> None:
        self.shown = shown
        self._path = path
        self._which_bodies = bodies
        self._bodies = Bodies(path, is_synced=durability == "power")
        self._head_ids: dict[bytes, int] = {}
        self._heads: dict[int, bytes] = {}
        # See `keep_doubt`.
        self._doubtful: set[bytes] = set()
        self._lock = FileLock(path, shown)
        try:
            self._connection = connection = open_journal(path, shown, durability)
        except BaseException:
            self._lock.release()
            raise
        try:
            # Which file it is: another one may get its name.
            self._file = path.stat()
            with naming(shown):
                self._earlier = EarlierResults(connection)
                self._matches = Matches(connection, self._earlier)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Copy everything from the log to the journal, and give the lock up."""
        try:
            # Without its log, the journal is one file, which needs no other to be read. While it is
            # being read, or the disk is full, the log stays, and is read too.
            with contextlib.suppress(sqlite3.Error, _Moved):
                self._check_place()  # or a log that is removed is that of another journal
                self._connection.execute("PRAGMA busy_timeout = 0")
                copied = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if copied[0] == 0:  # no reader was in the way
                    # All is on the disk now. What follows changes some bytes of the header, in one
                    # sector, and the file is whole with either: no need to wait for the disk.
                    self._connection.execute("PRAGMA synchronous = OFF")
                self._connection.execute("PRAGMA journal_mode = DELETE").fetchall()
            self._connection.close()
        finally:
            self._lock.release()

    def forgo_disk(self) -> None:
        """Stop waiting for the disk, because the file will be removed when it is closed."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA synchronous = OFF")

    # Settings

    @property
    def secret(self) -> bytes:
        """The random key of the identities."""
        secret: bytes = self._setting("secret")
        return secret

    def options(self) -> dict[str, Any]:
        """Return the options that the journal was last written with; `{}` if it is new."""
        found = self._setting("options")
        with naming_damage(self.shown):
            options: dict[str, Any] = {} if found is None else json.loads(found)
        return options

    def keep_options(self, options: Mapping[str, Any]) -> None:
        """Keep the options of this run."""
        with naming(self.shown):
            self._connection.execute(
                "INSERT OR REPLACE INTO settings VALUES ('options', ?)", (json.dumps(options),)
            )

    def _setting(self, name: str) -> Any:
        with naming(self.shown):
            row = self._connection.execute(
                "SELECT value FROM settings WHERE name = ?", (name,)
            ).fetchone()
        return None if row is None else row[0]

    # Finding

    def take_plain(self, urls: Sequence[str | None]) -> list[RowAhead]:
        """Take the rows of the first requests; see `EarlierResults.take_plain`."""
        with naming(self.shown):
            return self._earlier.take_plain(urls)

    def put_back(self, rows: Iterable[RowAhead]) -> None:
        """Undo the taking of rows by `take_plain`."""
        self._earlier.put_back(rows)

    def content(self, coding: int, body: bytes) -> bytes:
        """
        Return the body that a row has, or names.

        Raises:
            DamagedBody: If it is missing, or not what was written.
        """
        return self._bodies.content(coding, body)

    def head(self, head_id: int) -> bytes:
        """Return a head by its number."""
        head = self._heads.get(head_id)
        if head is None:
            with naming(self.shown):
                head = head_of(self._connection, head_id)
            remember(self._heads, head_id, head)
        return head

    def find(
        self,
        identities: Sequence[tuple[bytes, bytes | None]],
        nth: Any,
        most_bytes: int,
        urls: Sequence[str | None] | None = None,
    ) -> Generator[Found]:
        """
        Take the results of requests, each matched with the next equal one that was not taken.

        They are found one after the other: a list of them would set the garbage collector off,
        which takes a third of the time. Nothing else is done with the journal meanwhile.

        Args:
            identities: The key of each request, and for one with a key of its own the identity of
                its contents.
            nth: Returns the key of the n-th request with an identity.
            most_bytes: Bytes of bodies after which no further one is read. Fewer results than
                identities are then returned, at least one; the others are not taken.
            urls: The URL of each request that is a plain GET, as given.
        """
        if urls is None:
            urls = [None] * len(identities)
        read = 0
        with naming(self.shown):
            self._connection.execute("BEGIN")
            try:
                for start in range(0, len(identities), AT_ONCE):
                    part = identities[start : start + AT_ONCE]
                    taken = self._matches.match(part, nth, urls[start : start + AT_ONCE])
                    for place, one in enumerate(taken):
                        found = self._found(one)
                        read += len(found.content)
                        if read >= most_bytes:
                            self._matches.give_back(part[place + 1 :], taken[place + 1 :])
                            yield found
                            return
                        yield found
            finally:
                self._connection.execute("COMMIT")

    def send_again(self, keys: Sequence[bytes]) -> None:
        """Note that results that were found are asked for again; see `Matches`."""
        with naming(self.shown):
            self._matches.send_again(keys)

    def keep_doubt(self, key: bytes) -> None:
        """
        Note that a request is sent again that may have been carried out, and may not be repeated.

        A result that says that nothing was carried out, this time, does not take the place of the
        earlier one: the next run would send the request without being asked to.
        """
        self._doubtful.add(key)

    def _found(self, taken: Match) -> Found:
        key, row = taken.key, taken.row
        if row is None or not taken.is_same:
            return Found(key, None, b"", True, taken.is_same)
        record = record_in(row, None if row[6] is None else self.head(row[6]))
        try:
            return Found(key, record, self.content(row[11], row[12]), True, True)
        except DamagedBody:
            return Found(key, record, b"", False, True)

    # Writing

    def write(self, group: Iterable[tuple[Record, bytes | None]]) -> None:
        """
        Write results in one transaction: all of them, or none.

        Raises:
            OutOfSpace: If there is no space.
            JournalError: If they cannot be written for another reason.
        """
        try:
            self._check_place()
            self._write(iter(group))
        except _Moved:
            text = "it was removed or replaced while a batch wrote to it"
            raise JournalError(self.shown, text) from None
        except sqlite3.Error as error:
            if is_out_of_space(error):
                raise OutOfSpace from error
            raise JournalError(self.shown, f"it cannot be written ({error})") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise OutOfSpace from error
            raise JournalError(
                self.shown, f"a body cannot be written beside it ({error})"
            ) from error

    def _check_place(self) -> None:
        """
        Look whether the journal still has its name: what is written to it would be lost otherwise.

        Raises:
            _Moved: It has not.
        """
        try:
            if os.path.samestat(os.stat(self._path), self._file):  # noqa: PTH116  # half as long
                return
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError:  # a folder above it may have become unreadable
            return
        raise _Moved

    def _write(self, group: Iterator[tuple[Record, bytes | None]]) -> None:
        connection = self._connection
        if self._doubtful:
            group = (each for each in group if not self._stays_in_doubt(each[0]))
        connection.execute("BEGIN IMMEDIATE")
        new_heads: list[bytes] = []
        try:
            # Rows are made a few at a time: the event loop waits while they are made, and goes on
            # while they are written.
            while values := self._values(itertools.islice(group, WRITTEN_AT_ONCE), new_heads):
                connection.execute(_INSERT[len(values) // _WIDTH], values)
            connection.execute("COMMIT")
        except BaseException:
            for head in new_heads:
                self._head_ids.pop(head, None)
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _values(
        self, group: Iterable[tuple[Record, bytes | None]], new_heads: list[bytes]
    ) -> list[Any]:
        """Return the values of the columns of some rows, one after the other."""
        values: list[Any] = []
        head_ids, kept, keeps_all = self._head_ids, self._bodies.kept, self._which_bodies == "all"
        for record, content in group:
            head = record.head
            values += record
            if head is not None:
                head_id = head_ids.get(head)
                if head_id is None:
                    new_heads.append(head)
                    head_id = self._head_id(head)
                values[_HEAD_ID] = head_id
            if content is None or not (keeps_all or self._keeps_body(record)):
                values += (LEFT_OUT, None)
            else:
                values += kept(content)
        return values

    def _stays_in_doubt(self, record: Record) -> bool:
        """Whether the record of an earlier run, or the one before sending, says more than this."""
        return bool(record.flags & UNDONE) and record.key in self._doubtful

    def _keeps_body(self, record: Record) -> bool:
        if self._which_bodies == "ok":
            return record.kind is None
        return self._which_bodies == "all"

    def _head_id(self, head: bytes) -> int:
        """Add a head, and return its number."""
        cursor = self._connection.execute("INSERT INTO heads (head) VALUES (?)", (head,))
        assert cursor.lastrowid is not None
        remember(self._head_ids, head, cursor.lastrowid)
        return cursor.lastrowid


_WIDTH = len(COLUMNS.split(", "))
# Where the number of a head goes, from the end of the values of a `Record`.
_HEAD_ID = Record._fields.index("head") - len(Record._fields)
_ROW = "(" + ", ".join("?" * _WIDTH) + ")"
_INSERT = [
    f"INSERT OR REPLACE INTO results ({COLUMNS}) VALUES {', '.join([_ROW] * count)}"  # noqa: S608
    for count in range(WRITTEN_AT_ONCE + 1)
]

_HEADS_KEPT = 512


def record_in(row: Sequence[Any], head: bytes | None) -> Record:
    """Return the record of a row of `COLUMNS`."""
    return Record(*row[:6], head, *row[7:11])  # type: ignore[call-arg]  # as many as there are


def head_of(connection: sqlite3.Connection, head_id: int) -> bytes:
    """Return a head by its number."""
    head: bytes = connection.execute("SELECT head FROM heads WHERE id = ?", (head_id,)).fetchone()[
        0
    ]
    return head


def remember(cache: dict[Any, Any], key: Any, value: Any) -> None:
    """Add to a cache of bounded size."""
    if len(cache) >= _HEADS_KEPT:
        cache.clear()
    cache[key] = value
