"""The journal of a shard, which stays open until the results are in their place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncbatch import Journal, JournalInUse, fetch_many_sync
from asyncbatch.cluster import _shard_journal
from asyncbatch.cluster._shard_journal import ShardJournal
from asyncbatch.testing import LoopbackServer


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer().in_thread() as server:
        yield server


def fetch(journal: Journal, server: LoopbackServer, count: int = 3) -> list[bool]:
    """Fetch some URLs, and return which results came from the journal."""
    urls = [server.url(f"/{number}") for number in range(count)]
    results = fetch_many_sync(urls, journal=journal)
    assert results.failures == []
    return [result.from_journal for result in results]


def test_a_batch_leaves_the_journal_open(server: LoopbackServer, tmp_path: Path) -> None:
    """So no other worker can begin with the shard before its results are in their place."""
    path = tmp_path / "0.db"
    journal = ShardJournal(path)
    fetch(journal, server)

    with pytest.raises(JournalInUse):
        fetch(Journal(path), server)
    journal.close()

    assert fetch(Journal(path), server) == [True] * 3
    assert [each.name for each in tmp_path.iterdir()] == ["0.db"]


def test_a_journal_that_is_discarded_leaves_nothing(server: LoopbackServer, tmp_path: Path) -> None:
    """Neither its log nor its lock; the next one begins anew."""
    path = tmp_path / "0.db"
    journal = ShardJournal(path)
    fetch(journal, server)

    journal.discard()

    assert list(tmp_path.iterdir()) == []
    assert fetch(Journal(path), server) == [False] * 3


def test_a_journal_is_discarded_without_waiting_for_the_disk(
    server: LoopbackServer, tmp_path: Path
) -> None:
    """Waiting, two or three times, would be most of the time of a small shard."""
    journal = ShardJournal(tmp_path / "0.db")
    fetch(journal, server)
    [store] = journal._stores
    said: list[str] = []
    store._connection.set_trace_callback(said.append)

    journal.discard()

    assert said[0] == "PRAGMA synchronous = OFF"


def test_a_journal_that_was_never_opened_can_be_closed_and_discarded(tmp_path: Path) -> None:
    """As when another worker has it."""
    journal = ShardJournal(tmp_path / "0.db")

    journal.close()
    journal.discard()

    assert list(tmp_path.iterdir()) == []


def test_a_journal_that_is_closed_before_it_is_open_is_its_batchs_to_close(
    server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard may be given up while a slow disk opens the file; it must not stay locked."""
    path = tmp_path / "0.db"
    journal = ShardJournal(path)
    as_before = _shard_journal.opened

    def slowly(*given: Any) -> Any:
        store = as_before(*given)
        journal.close()
        return store

    monkeypatch.setattr(_shard_journal, "opened", slowly)
    fetch(journal, server)

    assert fetch(Journal(path), server) == [True] * 3
