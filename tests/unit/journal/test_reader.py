"""`JournalReader`: the results of a journal, also while it is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asyncbatch import Failure, Journal, NotAJournal
from asyncbatch._journal._answer import StoredHeads
from asyncbatch._journal._record import record_of
from asyncbatch._journal._store import Store
from tests.samples import failure, success


def opened(path: Path) -> Store:
    return Store(path, path.name, durability="process", bodies="all")


def write(store: Store, *results: object) -> None:
    """Write results whose keys are their numbers."""
    store.write(
        (record_of(b"%d" % result.index, result, 1.0, StoredHeads()), result.content)  # type: ignore[attr-defined]
        for result in results
    )


def test_results_come_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    """More of them than are read at once; with status, body and URL."""
    store = opened(tmp_path / "run.db")
    numbers = [number * 7 % 250 for number in range(250)]
    write(store, *(success(number, body=b"%d" % number) for number in numbers))
    store.close()

    with Journal.read(tmp_path / "run.db") as reader:
        results = list(reader)

    assert [result.content for result in results] == [b"%d" % number for number in numbers]
    assert [result.index for result in results] == list(range(250))
    assert [str(result.url) for result in results] == [f"http://host.test/{n}" for n in numbers]
    assert all(result.from_journal for result in results)


def test_failures_and_counts(tmp_path: Path) -> None:
    """Successes are counted as "ok", failures by their kind."""
    store = opened(tmp_path / "run.db")
    write(store, success(0), failure(1), failure(2, status=404), failure(3), success(4))
    store.close()

    with Journal.read(str(tmp_path / "run.db")) as reader:
        failures = list(reader.failures())
        assert reader.counts() == {"ok": 2, "connect": 2, "status": 1}
        assert len(reader) == 5

    assert all(isinstance(each, Failure) for each in failures)
    assert [each.kind for each in failures] == ["connect", "status", "connect"]
    assert failures[1].status_code == 404


def test_a_reader_sees_what_is_written_while_it_reads(tmp_path: Path) -> None:
    """It does not stop the writer, nor the writer it."""
    store = opened(tmp_path / "run.db")
    write(store, success(0))
    reader = Journal.read(tmp_path / "run.db")
    results = iter(reader)
    assert next(results).index == 0

    write(store, *(success(number) for number in range(1, 300)))

    assert len(list(results)) == 299
    store.close()
    assert reader.counts() == {"ok": 300}
    reader.close()


def test_an_empty_journal_has_no_results(tmp_path: Path) -> None:
    """The counts name "ok" all the same."""
    opened(tmp_path / "run.db").close()

    with Journal.read(tmp_path / "run.db") as reader:
        assert list(reader) == list(reader.failures()) == []
        assert reader.counts() == {"ok": 0}
    assert [each.name for each in tmp_path.iterdir()] == ["run.db"]


def test_a_reader_is_shown_with_its_file(tmp_path: Path) -> None:
    """In a notebook, for example; after it was closed, too."""
    path = tmp_path / "run.db"
    opened(path).close()
    with Journal.read(path) as reader:
        shown = repr(reader)

    assert shown == repr(reader) == f"<JournalReader {str(path)!r}>"


def test_a_damaged_body_is_empty_to_a_reader(tmp_path: Path) -> None:
    """The rest of its result is there."""
    store = opened(tmp_path / "run.db")
    write(store, success(0, body=os.urandom(300_000)))
    store.close()
    [file] = [each for each in (tmp_path / "run.db.d").rglob("*") if each.is_file()]
    file.unlink()

    with Journal.read(tmp_path / "run.db") as reader:
        [result] = reader

    assert (result.status_code, result.content) == (200, b"")


def test_another_file_cannot_be_read(tmp_path: Path) -> None:
    """As it cannot be written."""
    (tmp_path / "run.db").write_text("no journal")

    with pytest.raises(NotAJournal, match="no journal of asyncbatch"):
        Journal.read(tmp_path / "run.db")
