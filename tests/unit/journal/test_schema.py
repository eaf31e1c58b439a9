"""The file of a journal: made whole, checked before it is used, and left alone if it is refused."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from asyncbatch import JournalError, NotAJournal
from asyncbatch._journal import _schema
from asyncbatch._journal._schema import (
    APPLICATION_ID,
    PAGE_SIZE,
    STEPS,
    check,
    checked_path,
    migrate,
    naming,
    open_journal,
    open_to_read,
)


def made(path: Path, count: int = 0, *, size: int = 3000) -> Path:
    """Make a journal with some results."""
    connection = open_journal(path, str(path), "process")
    add(connection, count, size)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    return path


def add(connection: sqlite3.Connection, count: int, size: int = 3000) -> None:
    for _ in range(count):
        connection.execute(
            "INSERT INTO results (key, ended_at, method, url, times, attempts, flags, coding, body)"
            " VALUES (?, 0, 'GET', 'u', x'', 1, 0, 0, ?)",
            (os.urandom(16), os.urandom(size)),
        )


def test_a_new_journal_says_in_its_first_page_what_it_is(tmp_path: Path) -> None:
    """Before anything is written to it; it is for the user alone, and nothing lies beside it."""
    path = made(tmp_path / "run.db")

    first = path.read_bytes()[:100]

    assert int.from_bytes(first[68:72], "big") == APPLICATION_ID
    assert int.from_bytes(first[60:64], "big") == len(STEPS) == 1
    assert int.from_bytes(first[16:18], "big") == PAGE_SIZE
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["run.db"]


def test_what_a_killed_program_left_of_a_new_journal_does_not_matter(tmp_path: Path) -> None:
    """It is made beside its place, and so is whole or not there."""
    (tmp_path / "run.db-new").write_bytes(b"half of a journal")
    (tmp_path / "run.db-new-journal").write_bytes(b"x")

    made(tmp_path / "run.db", 3)

    assert [each.name for each in tmp_path.iterdir()] == ["run.db"]


def test_a_new_journal_has_nothing_of_one_that_was_removed_without_its_log(
    tmp_path: Path,
) -> None:
    """A killed program leaves a log beside its journal, and a user may remove the journal alone."""
    path = tmp_path / "run.db"
    old = open_journal(path, str(path), "process")
    add(old, 3)
    kept = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    old.close()
    path.unlink()
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"run.db{suffix}").write_bytes(kept[f"run.db{suffix}"])

    new = open_journal(path, str(path), "process")

    assert new.execute("SELECT count(*) FROM results").fetchone() == (0,)
    new.close()


@pytest.mark.parametrize("durability", ["process", "power"])
def test_the_first_write_to_a_new_journal_waits_for_the_disk_no_more_than_later_ones(
    tmp_path: Path, durability: str
) -> None:
    """The head of the log is there before, and the log is as safe as the durability says."""
    path = tmp_path / "run.db"

    new = open_journal(path, str(path), durability)

    assert Path(f"{path}-wal").stat().st_size > 32
    assert new.execute("PRAGMA synchronous").fetchone() == (2 if durability == "power" else 1,)
    new.close()


def foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (a)")
    connection.commit()
    connection.close()


def newer(path: Path) -> None:
    made(path, 5)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def text(path: Path) -> None:
    path.write_text("https://example.org/\n" * 50)


def short_text(path: Path) -> None:
    path.write_text("hello")


def empty(path: Path) -> None:
    path.touch()


REFUSED = [
    (foreign, "no journal of asyncbatch"),
    (newer, "of version 99"),
    (text, "no journal of asyncbatch"),
    (short_text, "no journal of asyncbatch"),
    (empty, "it is empty"),
]


@pytest.mark.parametrize(
    ("make", "reason"), REFUSED, ids=lambda each: getattr(each, "__name__", "")
)
def test_another_file_is_refused_and_left_as_it_was(
    tmp_path: Path, make: object, reason: str
) -> None:
    """The error names it and says why; no file comes up beside it."""
    path = tmp_path / "run.db"
    make(path)  # type: ignore[operator]
    before = path.read_bytes(), path.stat().st_mtime_ns

    for opening in (lambda: open_journal(path, "run.db", "process"), lambda: read(path)):
        with pytest.raises(NotAJournal, match=f"run.db: .*{reason}"):
            opening()

    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert [each.name for each in tmp_path.iterdir()] == ["run.db"]


def read(path: Path) -> None:
    open_to_read(path, "run.db").close()


def test_a_journal_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    """At the boundary of each page, and in the middle of one."""
    path = made(tmp_path / "run.db", 40)
    whole = path.read_bytes()
    assert len(whole) > 15 * PAGE_SIZE

    for length in [*range(0, len(whole), PAGE_SIZE), 50, PAGE_SIZE + 7, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(NotAJournal):
            open_journal(path, "run.db", "process")
        assert path.read_bytes() == whole[:length]


def killed(folder: Path) -> tuple[bytes, bytes]:
    """Return a journal and its log as a kill leaves them: only the log has most results."""
    path = folder / "killed.db"
    connection = open_journal(path, "killed.db", "process")
    add(connection, 30)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.execute("DELETE FROM results WHERE id > 5")
    add(connection, 60)
    found = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    connection.close()
    return found


def test_a_log_that_a_kill_left_is_read(tmp_path: Path) -> None:
    """Also if the kill came while it was copied, and the journal lacks pages that it has."""
    main, log = killed(tmp_path)
    path = tmp_path / "run.db"
    path.write_bytes(main)
    Path(f"{path}-wal").write_bytes(log)

    connection = open_journal(path, "run.db", "process")
    assert connection.execute("SELECT count(*) FROM results").fetchone() == (65,)
    connection.close()


def test_a_journal_that_is_cut_short_with_a_log_is_refused_unless_the_log_has_the_rest(
    tmp_path: Path,
) -> None:
    """No result is taken for missing that was there: its POST would be sent again."""
    main, log = killed(tmp_path)
    path = tmp_path / "run.db"
    outcomes = set()
    for length in range(0, len(main), PAGE_SIZE):
        path.write_bytes(main[:length])
        Path(f"{path}-wal").write_bytes(log)
        Path(f"{path}-shm").unlink(missing_ok=True)
        try:
            connection = open_journal(path, "run.db", "process")
        except NotAJournal:
            outcomes.add("refused")
            continue
        assert connection.execute("SELECT count(*) FROM results").fetchone() == (65,)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
        outcomes.add("whole")

    assert "refused" in outcomes


def test_an_older_journal_is_migrated_in_one_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the newest version, with its results; a step that fails leaves it as it was."""
    path = made(tmp_path / "run.db", 3)
    step = "ALTER TABLE results ADD COLUMN more TEXT; CREATE TABLE another (a);"
    monkeypatch.setattr(_schema, "STEPS", [*STEPS, step, "INSERT INTO nothing VALUES (1);"])

    with pytest.raises(JournalError):
        open_journal(path, "run.db", "process")
    assert check(path, "run.db") == 1
    monkeypatch.setattr(_schema, "STEPS", [*STEPS, step])
    connection = open_journal(path, "run.db", "process")

    assert connection.execute("SELECT count(more), count(*) FROM results").fetchone() == (0, 3)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    migrate(connection, 2)
    connection.close()


def test_a_path_that_cannot_be_a_journal_is_refused(tmp_path: Path) -> None:
    """A folder, one in a missing folder, and a device; no folder is made."""
    with pytest.raises(IsADirectoryError, match="shown"):
        checked_path(tmp_path, "shown")
    with pytest.raises(FileNotFoundError, match="shown"):
        checked_path(tmp_path / "missing" / "run.db", "shown")
    if os.name == "posix":
        with pytest.raises(JournalError, match="shown: a journal is a regular file"):
            checked_path(Path(os.devnull), "shown")

    assert list(tmp_path.iterdir()) == []


def test_a_journal_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    """Reading makes none."""
    with pytest.raises(FileNotFoundError, match=r"run\.db"):
        open_to_read(tmp_path / "run.db", "run.db")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="symbolic links need rights on Windows")
def test_a_link_is_followed_to_its_journal(tmp_path: Path) -> None:
    """So that both paths have one lock, and one log."""
    (tmp_path / "link.db").symlink_to(tmp_path / "run.db")

    assert checked_path(tmp_path / "link.db", "link.db") == checked_path(tmp_path / "run.db", "")


def test_a_journal_in_a_place_that_cannot_be_written_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can still be read."""
    path = made(tmp_path / "run.db", 1)
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    with pytest.raises(PermissionError, match=r"cannot be written to: 'run\.db'"):
        open_journal(path, "run.db", "process")

    read(path)


@pytest.mark.skipif(os.name != "posix", reason="SQLite has no such locks on Windows")
def test_a_file_system_without_shared_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite would do without its log, and each write would wait for the disk."""
    uri = _schema._uri
    monkeypatch.setattr(_schema, "_uri", lambda path, mode: f"{uri(path, mode)}&vfs=unix-dotfile")

    with pytest.raises(JournalError, match=r"^run\.db: its file system has no shared memory"):
        open_journal(tmp_path / "run.db", "run.db", "process")


def test_a_migration_that_cannot_begin_says_why(tmp_path: Path) -> None:
    """There is no transaction to take back then."""
    path = made(tmp_path / "run.db")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    connection = sqlite3.connect(path, isolation_level=None, timeout=0.0)

    with pytest.raises(sqlite3.OperationalError, match="locked"):
        migrate(connection, 0)

    connection.close()
    holder.close()


def test_a_journal_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk."""
    monkeypatch.setattr(_schema, "STEPS", [*STEPS, "INSERT INTO nothing VALUES (1);"])

    with pytest.raises(JournalError, match="nothing"):
        open_journal(tmp_path / "run.db", "run.db", "process")

    assert list(tmp_path.iterdir()) == []


def test_a_journal_without_its_tables_cannot_be_read(tmp_path: Path) -> None:
    """The error of SQLite names the journal."""
    path = made(tmp_path / "run.db")
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE settings")
    connection.close()

    with pytest.raises(JournalError, match=r"^run\.db: it cannot be used \(no such table"):
        read(path)


def test_an_error_of_sqlite_for_lack_of_space_says_so() -> None:
    """What SQLite says of it is in the text too."""
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA max_page_count = 1")

    with (
        pytest.raises(JournalError, match=r"^run\.db: no space left for the journal \(.*full"),
        naming("run.db"),
    ):
        connection.execute("CREATE TABLE a (a)")

    connection.close()


@pytest.mark.parametrize(
    ("place", "value"), [(60, len(STEPS) + 1), (68, 7)], ids=["newer", "foreign"]
)
def test_a_database_of_others_is_refused_also_where_its_log_has_the_rest(
    tmp_path: Path, place: int, value: int
) -> None:
    """Copying its log was interrupted, as it may be with a journal."""
    main, log = killed(tmp_path)
    path = tmp_path / "run.db"
    Path(f"{path}-wal").write_bytes(log)
    path.write_bytes(main[: PAGE_SIZE * 10])
    assert check(path, "run.db") == len(STEPS)
    path.write_bytes(main[:place] + value.to_bytes(4, "big") + main[place + 4 : PAGE_SIZE * 10])

    with pytest.raises(NotAJournal):
        check(path, "run.db")
