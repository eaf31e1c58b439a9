"""`Writer`: the thread of a journal writes in groups, and delivers what is written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncbatch import JournalError, JournalFull, Result
from asyncbatch._journal._record import record_before_sending
from asyncbatch._journal._store import OutOfSpace, Store
from asyncbatch._journal._writer import MOST_AT_ONCE, Writer
from tests.samples import success

pytestmark = pytest.mark.any_loop


class Journaled:
    """A writer, with what it has delivered and how it has failed."""

    def __init__(self) -> None:
        self.groups: list[Sequence[Result]] = []
        self.errors: list[Exception] = []
        self.threads: set[str] = set()
        self.delivered = anyio.Event()
        self.writer = Writer(self._deliver, self.errors.append)

    def _deliver(self, results: Sequence[Result]) -> None:
        self.threads.add(threading.current_thread().name)
        self.groups.append(results)
        self.delivered.set()

    @property
    def indices(self) -> list[int]:
        return [result.index for group in self.groups for result in group]


def maker(path: Path) -> Callable[[], Store]:
    return lambda: Store(path, "run.db", durability="process", bodies="all")


async def test_results_are_delivered_once_they_are_written(tmp_path: Path) -> None:
    """In their order, in groups, in the thread of the event loop."""
    journaled = Journaled()
    store = await journaled.writer.open(maker(tmp_path / "run.db"))
    before = threading.current_thread().name
    count = 2 * MOST_AT_ONCE + 5

    for number in range(count):
        journaled.writer.add(b"%d" % number, success(number))
    assert journaled.groups == []
    await journaled.writer.flush()
    written = await journaled.writer.call(
        lambda store: store._connection.execute("SELECT count(*) FROM results").fetchone()[0]
    )

    assert journaled.indices == list(range(count))
    assert written == count
    assert max(map(len, journaled.groups)) <= MOST_AT_ONCE
    assert journaled.threads == {before}
    assert store is not None
    await journaled.writer.close()


async def test_a_single_result_does_not_wait_for_others(tmp_path: Path) -> None:
    """It is delivered without a call of anything else."""
    journaled = Journaled()
    await journaled.writer.open(maker(tmp_path / "run.db"))

    journaled.writer.add(b"k", success(7))
    await journaled.delivered.wait()

    assert journaled.indices == [7]
    await journaled.writer.close()


async def test_closing_writes_the_rest_and_ends_the_thread(tmp_path: Path) -> None:
    """The journal can be opened again at once."""
    journaled = Journaled()
    await journaled.writer.open(maker(tmp_path / "run.db"))
    for number in range(100):
        journaled.writer.add(b"%d" % number, success(number))

    await journaled.writer.close()
    await journaled.writer.close()

    assert journaled.indices == list(range(100))
    again = await anyio.to_thread.run_sync(maker(tmp_path / "run.db"))
    asked = [(b"%d" % number, None) for number in range(100)]
    found = await anyio.to_thread.run_sync(
        lambda: list(again.find(asked, lambda key, n: key, 10**6))
    )
    assert len(found) == 100
    assert all(each.record is not None for each in found)
    await anyio.to_thread.run_sync(again.close)


async def test_a_journal_that_cannot_be_opened_raises(tmp_path: Path) -> None:
    """And leaves no thread."""
    journaled = Journaled()
    (tmp_path / "run.db").write_text("none")

    with pytest.raises(JournalError):
        await journaled.writer.open(maker(tmp_path / "run.db"))
    await journaled.writer.close()

    assert journaled.errors == []


async def test_an_announcement_is_written_before_it_returns(tmp_path: Path) -> None:
    """Many at once in one transaction."""
    journaled = Journaled()
    await journaled.writer.open(maker(tmp_path / "run.db"))
    done = []

    async def announce(number: int) -> None:
        record = record_before_sending(b"%d" % number, f"http://host.test/{number}", 1.0)
        await journaled.writer.announce(record)
        done.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(announce, number)
    found = await journaled.writer.call(
        lambda store: store._connection.execute(
            "SELECT count(*) FROM results WHERE kind = 'in_doubt'"
        ).fetchone()[0]
    )

    assert sorted(done) == list(range(30))
    assert found == 30
    await journaled.writer.close()


def failing(error: Exception, after: int) -> Callable[[Store], Callable[..., None]]:
    """Return what makes a store fail after so many groups."""

    def fail(store: Store) -> Callable[..., None]:
        write, left = store.write, [after]

        def failing_write(group: Any) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise error
            write(group)

        return failing_write

    return fail


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OutOfSpace(), "no space left; 1 results were written, 2 were not"),
        (JournalError("run.db", "broken"), "broken"),
    ],
)
async def test_an_error_of_writing_ends_it(tmp_path: Path, error: Exception, expected: str) -> None:
    """What was written is delivered, the rest is not, and the error says how much that is."""
    journaled = Journaled()
    writer = journaled.writer
    await writer.open(maker(tmp_path / "run.db"))

    def break_(store: Store) -> None:
        store.write = failing(error, 1)(store)  # type: ignore[method-assign]

    await writer.call(break_)
    writer.add(b"0", success(0))
    await writer.flush()
    writer.add(b"1", success(1))
    writer.add(b"2", success(2))
    await writer.flush()

    assert journaled.indices == [0]
    [raised] = journaled.errors
    assert str(raised) == f"run.db: {expected}"
    if isinstance(raised, JournalFull):
        assert (raised.committed, raised.lost) == (1, 2)
    with pytest.raises(type(raised)):
        await writer.call(lambda store: store.secret)
    with pytest.raises(type(raised)):
        await writer.announce(record_before_sending(b"3", "http://host.test/", 1.0))
    await writer.close()
    again = await anyio.to_thread.run_sync(maker(tmp_path / "run.db"))
    await anyio.to_thread.run_sync(again.close)


async def test_a_thread_that_cannot_start_is_raised_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a system that allows no more threads; the journal can be opened later."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    writer = Journaled().writer
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            await writer.open(maker(tmp_path / "run.db"))
        with anyio.fail_after(5):
            await writer.close()

    again = Journaled().writer
    await again.open(maker(tmp_path / "run.db"))
    await again.close()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OutOfSpace(), "no space left; 1 results were written, 0 were not"),
        (JournalError("run.db", "broken"), "broken"),
    ],
)
async def test_an_error_of_an_announcement_ends_the_writing(
    tmp_path: Path, error: Exception, expected: str
) -> None:
    """The request is not sent, and the batch is told."""
    journaled = Journaled()
    writer = journaled.writer
    await writer.open(maker(tmp_path / "run.db"))
    writer.add(b"0", success(0))
    await writer.flush()

    def break_(store: Store) -> None:
        store.write = failing(error, 0)(store)  # type: ignore[method-assign]

    await writer.call(break_)
    with pytest.raises(JournalError) as raised:
        await writer.announce(record_before_sending(b"1", "http://host.test/", 1.0))
    writer.add(b"2", success(2))
    await writer.close()

    assert str(raised.value) == f"run.db: {expected}"
    assert [type(each) for each in journaled.errors] == [type(raised.value)]
    assert journaled.indices == [0]
