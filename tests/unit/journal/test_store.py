"""`Store`: results are found again, and groups are written whole."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncbatch import Journal, JournalError, JournalInUse
from asyncbatch._journal._record import Record
from asyncbatch._journal._store import AT_ONCE, OutOfSpace, Store, remember


def opened(path: Path, **options: Any) -> Store:
    return Store(path, path.name, **{"durability": "process", "bodies": "all", **options})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = opened(path)
    yield store
    store.close()


def record(key: bytes, **fields: Any) -> Record:
    made = Record(key, None, 1.0, "GET", "u", 200, b"HTTP/1.1 200 OK", b"t", 1, 0, None)
    return made._replace(**fields)


def nth(key: bytes, n: int) -> bytes:
    return key + b"%d" % n


def left_by_another_run(path: Path, *kept: tuple[Record, bytes], **options: Any) -> Store:
    """Return a journal in which an earlier run has left results."""
    store = opened(path, **options)
    store.write(kept)
    store.close()
    return opened(path, **options)


def find(store: Store, *keys: bytes, most: int = 10**9) -> list[Any]:
    return list(store.find([(key, None) for key in keys], nth, most))


def test_what_was_written_is_found_by_the_next_run(path: Path) -> None:
    """With all its fields, and its body."""
    first = opened(path)
    kept = record(b"k0", kind="status", status=404, facts="{}", attempts=3, flags=5)
    first.write([(kept, b"body")])
    first.close()

    second = opened(path)
    [found] = find(second, b"k")
    second.close()

    assert found == (b"k0", kept, b"body", True, True)
    assert [each.name for each in path.parent.iterdir()] == ["run.db"]


def test_many_bytes_are_read_in_parts(path: Path) -> None:
    """At least one result at a time; those not read are not taken."""
    kept = [(record(b"k%d" % number), bytes(100)) for number in range(5)]
    store = left_by_another_run(path, *kept, *[(record(b"a0"), bytes(10)), (record(b"b0"), b"")])

    first = find(store, *[b"k"] * 5, b"a", most=150)
    second = find(store, *[b"k"] * 3, most=1)
    third = find(store, b"a", b"b", b"a", most=1)
    fourth = find(store, b"b", b"k")
    store.close()

    assert [each.key for each in first] == [b"k0", b"k1"]
    assert [each.key for each in second] == [b"k2"]
    assert [(each.key, len(each.content)) for each in third] == [(b"a0", 10)]
    assert [(each.key, each.record is None) for each in fourth] == [(b"b0", False), (b"k3", False)]


def test_a_group_of_any_size_is_written(path: Path) -> None:
    """In statements of bounded size."""
    count = 2 * AT_ONCE + 7

    kept = [(record(b"k%d" % number), b"%d" % number) for number in range(count)]
    store = left_by_another_run(path, *kept)
    found = find(store, *[b"k"] * count)
    store.close()

    assert [each.content for each in found] == [b"%d" % number for number in range(count)]


def test_a_group_that_fails_leaves_nothing(store: Store) -> None:
    """Heads included: they are written again with the next group."""
    head = b"HTTP/1.1 200 OK\r\na: b"
    broken = record(b"k1", head=head, url=object())

    with pytest.raises(JournalError, match="cannot be written"):
        store.write([(record(b"k0", head=head), b""), (broken, b"")])
    store.write([(record(b"k2", head=head), b"")])
    found = find(store, b"k", b"k", b"k")

    assert [each.record is None for each in found] == [True, True, False]
    assert found[2].record.head == head


def test_a_later_result_takes_the_place_of_an_earlier_one(path: Path) -> None:
    """There is one for each request."""
    store = opened(path)
    store.write([(record(b"k0", kind="timeout"), b"")])
    store.write([(record(b"k0"), b"new")])
    store.close()
    store = opened(path)

    [found] = find(store, b"k")
    store.close()

    assert (found.record.kind, found.content) == (None, b"new")
    with Journal.read(path) as reader:
        assert reader.counts() == {"ok": 1}


@pytest.mark.parametrize(
    ("bodies", "kept"), [("all", (b"a", b"b")), ("ok", (b"a", b"")), ("none", (b"", b""))]
)
def test_bodies_are_kept_as_asked(path: Path, bodies: str, kept: tuple[bytes, bytes]) -> None:
    """Those of all results, of successes, or none."""
    kept_records = (record(b"a0"), b"a"), (record(b"b0", kind="status"), b"b")
    store = left_by_another_run(path, *kept_records, bodies=bodies)

    found = find(store, b"a", b"b")
    store.close()

    assert tuple(each.content for each in found) == kept
    assert all(each.has_body for each in found)


def test_a_damaged_body_is_reported(path: Path) -> None:
    """The record is there, and the body is not."""
    store = left_by_another_run(path, (record(b"k0"), os.urandom(500_000)))
    [file] = [each for each in Path(f"{path}.d").rglob("*") if each.is_file()]
    file.write_bytes(b"other")

    [found] = find(store, b"k")
    store.close()

    assert (found.has_body, found.content) == (False, b"")


def test_options_and_the_secret_are_kept(path: Path) -> None:
    """Each journal has a secret of its own."""
    store = opened(path)
    secret = store.secret
    assert store.options() == {}
    store.keep_options({"a": 1, "b": None})
    store.close()
    store = opened(path)
    other = opened(path.with_name("other.db"))

    assert store.options() == {"a": 1, "b": None}
    assert store.secret == secret
    assert len(secret) == 32
    assert other.secret != secret
    store.close()
    other.close()


def test_a_second_writer_is_refused(store: Store, path: Path) -> None:
    """At once; a reader is not."""
    with pytest.raises(JournalInUse, match=r"run\.db: another batch"):
        opened(path)
    with Journal.read(path) as reader:
        assert list(reader) == []


def test_a_refused_journal_is_not_locked(path: Path) -> None:
    """It can be used as soon as it is mended."""
    path.write_text("no journal")
    with pytest.raises(OSError, match="no journal"):
        opened(path)
    path.unlink()

    opened(path).close()


def test_a_full_disk_is_told_from_other_errors(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of SQLite, and of the files beside the journal."""
    store._connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(OutOfSpace):
        store.write([(record(b"k%d" % number), bytes(2000)) for number in range(100)])
    store._connection.execute("PRAGMA max_page_count = 4294967294")

    def fail(content: bytes) -> Any:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(store._bodies, "kept", fail)
    with pytest.raises(OutOfSpace):
        store.write([(record(b"k"), b"1")])


@pytest.mark.parametrize(("durability", "value"), [("process", 1), ("power", 2)])
def test_the_durability_is_that_of_sqlite(path: Path, durability: str, value: int) -> None:
    """NORMAL survives a kill, FULL a power cut."""
    store = opened(path, durability=durability)
    found = store._connection.execute("PRAGMA synchronous").fetchone()
    mode = store._connection.execute("PRAGMA journal_mode").fetchone()
    store.close()

    assert (found, mode) == ((value,), ("wal",))


def test_a_reader_does_not_keep_the_writer_from_closing(path: Path) -> None:
    """The log stays for the reader, and is there for the next writer."""
    store = opened(path)
    store.write([(record(b"k0"), b"1")])
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM results").fetchone()

    store.close()

    reader.close()
    again = opened(path)
    assert find(again, b"k")[0].content == b"1"
    again.close()


@pytest.mark.parametrize("is_read", [False, True])
def test_closing_does_without_the_disk_only_if_all_is_there(path: Path, is_read: bool) -> None:
    """A reader keeps the log from being copied; what copies it later has to wait for the disk."""
    store, said = opened(path), list[str]()
    store.write([(record(b"k0"), b"body")])
    reader = sqlite3.connect(path, isolation_level=None)
    if is_read:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
    store._connection.set_trace_callback(said.append)

    store.close()

    assert ("PRAGMA synchronous = OFF" in said) is not is_read
    reader.close()
    again = opened(path)
    assert [found.record.url for found in find(again, b"k")] == ["u"]
    again.close()


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_journal_that_is_gone_is_not_written_to(path: Path, is_replaced: bool) -> None:
    """What it would keep is lost; and the log of a new one of its name is that of another batch."""
    store = opened(path)
    store.write([(record(b"k0"), b"body")])
    for beside in path.parent.iterdir():
        beside.unlink()
    if is_replaced:
        path.write_text("another")
        path.with_name("run.db-wal").write_text("its log")

    with pytest.raises(JournalError, match="removed or replaced"):
        store.write([(record(b"k1"), b"body")])
    store.close()

    left = {"run.db", "run.db-wal"} if is_replaced else set()
    assert {each.name for each in path.parent.iterdir()} == left


def test_a_journal_whose_folder_is_a_file_now_is_not_written_to(tmp_path: Path) -> None:
    """It is as gone as one that was removed."""
    folder = tmp_path / "folder"
    folder.mkdir()
    store = opened(folder / "run.db")
    folder.rename(tmp_path / "other")
    folder.write_text("a file")

    with pytest.raises(JournalError, match="removed or replaced"):
        store.write([(record(b"k"), b"body")])
    store.close()


def test_a_journal_without_its_tables_is_refused_and_not_locked(path: Path) -> None:
    """The error names it."""
    opened(path).close()
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE results RENAME TO others")
    connection.close()

    for _ in range(2):
        with pytest.raises(JournalError, match=r"^run\.db: it cannot be used \(no such table"):
            opened(path)

    assert [each.name for each in path.parent.iterdir()] == ["run.db"]


def test_a_body_that_cannot_be_written_beside_the_journal_is_an_error_of_it(
    store: Store, path: Path
) -> None:
    """One that the batch ends with, unlike a full disk."""
    Path(f"{path}.d").write_text("no folder")

    with pytest.raises(JournalError, match=r"^run\.db: a body cannot be written beside it \("):
        store.write([(record(b"k0"), os.urandom(500_000))])


def test_a_cache_of_heads_is_bounded() -> None:
    """A server may send a new head with each response; the last ones are remembered."""
    cache: dict[int, int] = {}

    sizes = []
    for number in range(2000):
        remember(cache, number, number)
        sizes.append(len(cache))

    assert max(sizes) < 1000
    assert cache[1999] == 1999


def test_a_journal_that_cannot_be_looked_at_is_written_to(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is open; only a folder above it is closed."""
    store = opened(path)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", refuse)
        store.write([(record(b"k0"), b"body")])
    store.close()
    again = opened(path)

    assert [found.content for found in find(again, b"k")] == [b"body"]
    again.close()
