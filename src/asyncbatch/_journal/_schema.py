"""
The file of a journal: its tables, its version, and the checks before it is used.

A new journal is made under another name, and gets its name when it is complete, so a file of that
name is never half a journal. A file that is refused stays as it was.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sqlite3
import stat
from collections.abc import Generator
from pathlib import Path
from urllib.parse import quote

from asyncbatch._values._errors import JournalError, NotAJournal

APPLICATION_ID = 0x61736A6C  # "asjl"

PAGE_SIZE = 8192
"""Bytes of a page. With more, fewer results of a kilobyte leave a part of it unused."""

STEPS: list[str] = [
    """
    CREATE TABLE settings (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
    CREATE TABLE heads (id INTEGER PRIMARY KEY, head BLOB NOT NULL);
    CREATE TABLE results (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE,
        kind TEXT,
        ended_at REAL NOT NULL,
        method TEXT NOT NULL,
        url TEXT NOT NULL,
        status INTEGER,
        head_id INTEGER,
        times BLOB NOT NULL,
        attempts INTEGER NOT NULL,
        flags INTEGER NOT NULL,
        facts TEXT,
        coding INTEGER NOT NULL,
        body BLOB
    );
    CREATE INDEX failures ON results (kind) WHERE kind IS NOT NULL;
    """,
]
"""The statements that migrate each version from the one before; the first creates a journal."""

PERMANENT, UNDONE, PLAIN, OF_FILE = 1, 2, 4, 8
"""Flags of a result: another try would end the same; nothing was carried out; it can be sent again
from the record alone, since it is a GET without fields of its own, secrets and a file; it was
refused, perhaps because of the file for its body."""


def checked_path(path: Path, shown: str) -> Path:
    """
    Return the path of a journal without symbolic links, after checks that open nothing.

    Raises:
        OSError: If its folder does not exist, or it is no regular file.
    """
    real = Path(os.path.realpath(path))
    if not real.parent.is_dir():
        raise FileNotFoundError(
            errno.ENOENT, "the folder of the journal does not exist; make it first", shown
        )
    try:
        mode = real.stat().st_mode
    except FileNotFoundError:
        return real
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "a journal is a file, and this is a folder", shown)
    if not stat.S_ISREG(mode):
        raise JournalError(shown, "a journal is a regular file, and this is none")
    return real


def open_journal(path: Path, shown: str, durability: str) -> sqlite3.Connection:
    """
    Open a journal for writing, and make it if there is none.

    The caller holds its lock. Of a file that is refused nothing is changed.

    Args:
        path: As returned by `checked_path`.
        shown: The path as the caller gave it, for messages.
        durability: As for `Journal`.

    Raises:
        NotAJournal: If it is something else, damaged, or of a newer version.
        OSError: If it cannot be read and written.
    """
    with naming(shown):
        if is_new := not path.exists():
            _make(path)
        version = check(path, shown)
        if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, "the journal cannot be written to", shown)
        connection = sqlite3.connect(
            _uri(path, "rw"), uri=True, isolation_level=None, check_same_thread=False, timeout=30.0
        )
        try:
            if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
                raise JournalError(shown, "its file system has no shared memory for SQLite's log")
            if is_new:
                _begin_log(connection)
            full = durability == "power"
            connection.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
            if not is_new:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            migrate(connection, version)
        except BaseException:
            connection.close()
            raise
    return connection


def _begin_log(connection: sqlite3.Connection) -> None:
    """
    Write something to the log of a new journal, without waiting for the disk.

    SQLite waits for the head of a log to be on the disk, lest after a power cut an old log seems to
    go on after it. There is no old log here.
    """
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(f"PRAGMA user_version = {len(STEPS)}")


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a journal from its version to ours, in one transaction."""
    if version == len(STEPS):
        return
    script = "".join(STEPS[version:])
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE;{script}PRAGMA user_version = {len(STEPS)};COMMIT;"
        )
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def check(path: Path, shown: str) -> int:
    """
    Return the version of a journal, and change nothing.

    Raises:
        NotAJournal: If it is something else, damaged, or of a newer version.
    """
    if not path.stat().st_size:
        raise NotAJournal(shown, "it is empty, and so no journal; remove it to begin a new one")
    # Immutable: SQLite then takes no lock, looks at no log, and makes no file.
    connection = sqlite3.connect(_uri(path, "ro") + "&immutable=1", uri=True)
    try:
        # Of a file that is cut short, not even this can be read.
        application_id = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        page_size = connection.execute("PRAGMA page_size").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorname", "") != "SQLITE_CORRUPT" or not _log_has_rest(path):
            raise _refused(shown, error) from error
        return len(STEPS)
    finally:
        connection.close()
    if application_id != APPLICATION_ID:
        raise NotAJournal(shown, "it is a database, but no journal of asyncbatch")
    if version > len(STEPS):
        raise NotAJournal(
            shown,
            f"it is of version {version}, and this asyncbatch knows versions up to {len(STEPS)}; "
            "update asyncbatch",
        )
    # SQLite takes a part of a page for the whole of it.
    if path.stat().st_size % page_size and not _log_has_rest(path):
        raise NotAJournal(shown, _DAMAGED)
    return int(version)


_DAMAGED = "it is damaged or cut short; restore it, or begin a new journal"


def open_to_read(path: Path, shown: str) -> sqlite3.Connection:
    """
    Open a journal for reading only, while a batch writes to it or not.

    Raises:
        NotAJournal: If it is something else, damaged, or of a newer version.
        OSError: If it does not exist or cannot be read.
    """
    with naming(shown):
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, "there is no journal", shown)
        check(path, shown)
        # Where its folder cannot be written to, SQLite can make no shared memory beside it.
        log = Path(f"{path}-wal")
        is_fixed = not os.access(path.parent, os.W_OK) and not log.exists()
        connection = sqlite3.connect(
            _uri(path, "ro") + ("&immutable=1" if is_fixed else ""),
            uri=True,
            timeout=30.0,
            # The garbage collector may close it, in any thread.
            check_same_thread=False,
        )
        try:
            connection.execute("SELECT 1 FROM settings").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection


@contextlib.contextmanager
def naming(shown: str) -> Generator[None]:
    """Name the journal in the errors of SQLite."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _refused(shown, error) from error


@contextlib.contextmanager
def naming_damage(shown: str) -> Generator[None]:
    """
    Name the journal in the error of a value in it that was never written.

    SQLite does not notice it: its errors, and those of the system, are `OSError`s already.
    """
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise NotAJournal(shown, _DAMAGED) from error


def is_out_of_space(error: sqlite3.Error) -> bool:
    """Whether SQLite could not write for lack of space, or because of a limit on it."""
    name = getattr(error, "sqlite_errorname", "") or ""
    return name in {"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE"}


def _refused(shown: str, error: sqlite3.Error) -> JournalError:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_NOTADB"):
        return NotAJournal(shown, "it is no journal of asyncbatch")
    if name.startswith("SQLITE_CORRUPT"):
        return NotAJournal(shown, _DAMAGED)
    if is_out_of_space(error):
        return JournalError(shown, f"no space left for the journal ({error})")
    return JournalError(shown, f"it cannot be used ({error})")


def _make(path: Path) -> None:
    """Make a complete journal under another name, and rename it."""
    new = Path(f"{path}-new")
    # The log of a journal that was removed would be read as that of the new one.
    logs = [f"{path}-wal", f"{path}-shm", f"{path}-journal"]
    for leftover in (str(new), f"{new}-journal", *logs):
        Path(leftover).unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(_uri(new, "rw"), uri=True, isolation_level=None)
    try:
        # The disk is asked once at the end, not three times for each statement: a file that was not
        # finished is made again.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = MEMORY").fetchone()
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        migrate(connection, 0)
        connection.execute("INSERT INTO settings VALUES ('secret', ?)", (secrets.token_bytes(32),))
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
    except BaseException:
        connection.close()
        new.unlink(missing_ok=True)
        raise
    connection.close()
    with new.open("r+b") as file:  # Windows writes only what may be written
        os.fsync(file.fileno())
    new.replace(path)


def _log_has_rest(path: Path) -> bool:
    """Whether the pages that a journal lacks are in its log: the copying was interrupted."""
    try:
        first = _read(path, 0, 100)
        if first[:16] != b"SQLite format 3\0" or _number(first, 68) != APPLICATION_ID:
            return False
        if _number(first, 60) > len(STEPS):
            return False
        size = int.from_bytes(first[16:18], "big")
        wanted = _number(first, 28)
        missing = set(range(path.stat().st_size // size + 1, wanted + 1))
        log = Path(f"{path}-wal")
        length, place = log.stat().st_size, 32
        with log.open("rb") as file:
            while missing and place + 24 <= length:
                file.seek(place)
                missing.discard(_number(file.read(4), 0))
                place += 24 + size
    except (OSError, ValueError):
        return False
    return not missing


def _read(path: Path, start: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(length)


def _number(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + 4], "big")


def _uri(path: Path, mode: str) -> str:
    # A name of bytes that are no UTF-8 is a `str` with lone surrogates.
    return f"file:{quote(os.fsencode(path))}?mode={mode}"
