"""`Groups`: calls in steps, made by threads together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import pytest

from asyncbatch._files import _groups
from asyncbatch._files._groups import Groups, StepCall
from asyncbatch._files._unnamed import OpenFolders
from asyncbatch._runtime._event_loop import running_loop
from asyncbatch._runtime._threads import Threads


class NoSyncer:
    """Notes what is synced together, and fails as it is told to."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.closed: list[list[str]] = []
        self.error: BaseException | None = None
        self.errors: dict[str, OSError] = {}

    def sync(self, files: Sequence[Any]) -> list[OSError | None]:
        if files:
            self.groups.append(list(files))
        if self.error is not None:
            raise self.error
        return [self.errors.get(file) for file in files]


@pytest.fixture
def syncer(monkeypatch: pytest.MonkeyPatch) -> NoSyncer:
    made = NoSyncer()
    monkeypatch.setattr(_groups, "Syncer", lambda: made)
    # What stands for files here cannot be closed.
    monkeypatch.setattr(_groups, "close_files", made.closed.append)
    return made


def groups(*, limit: int = 1, size: int = 3, weight: int = 100) -> Groups:
    return Groups(Threads("asyncbatch-test", 2), limit=limit, size=size, weight=weight)


class Noted(StepCall):
    """
    A call that notes its steps.

    Args:
        name: What stands for its file, and is its value.
        log: Where its steps are noted.
        error: What its second step raises.
        go_on: What its first step waits for.
        weight: Its bytes.
    """

    def __init__(
        self,
        name: Any,
        log: list[str],
        error: BaseException | None = None,
        go_on: threading.Event | None = None,
        weight: int = 1,
    ) -> None:
        super().__init__(weight, running_loop())
        self._name, self._log, self._error, self._may_go_on = name, log, error, go_on

    def write_file(self, folders: OpenFolders) -> bool:
        """Take the name for the file."""
        self._log.append(f"{self._name} 1")
        self.file = self._name
        if self._may_go_on is not None:
            self._may_go_on.wait(20)
        return True

    def name_file(self) -> str:
        """Return the name."""
        self._log.append(f"{self._name} 2")
        if self._error is not None:
            raise self._error
        return str(self._name)


class Single(StepCall):
    """A call whose first step is all that there is."""

    def __init__(self, step: Callable[[OpenFolders], object], weight: int = 1) -> None:
        super().__init__(weight, running_loop())
        self._step = step

    def write_file(self, folders: OpenFolders) -> bool:
        """Take the only step."""
        self.value = self._step(folders)
        return False


Begun = TypeVar("Begun", bound=StepCall)


def started(groups: Groups, call: Begun) -> Begun:
    """Begin a call and return it."""
    groups.begin_call(call)
    return call


async def waited(*calls: StepCall) -> None:
    with anyio.fail_after(20):
        for call in calls:
            await call.wait()


async def until(is_so: Callable[[], object]) -> None:
    with anyio.fail_after(20):
        while not is_so():
            await anyio.lowlevel.checkpoint()


async def test_what_begins_in_one_turn_of_the_loop_is_one_group(syncer: NoSyncer) -> None:
    """All write, then all are synced, then all go on; and no more than a group has."""
    log = list[str]()
    made = groups(size=2)
    calls = [started(made, Noted(name, log)) for name in "abc"]
    await waited(*calls)

    assert [call.unwrap() for call in calls] == ["a", "b", "c"]
    assert syncer.groups == [["a", "b"], ["c"]]
    assert log == ["a 1", "b 1", "a 2", "b 2", "c 1", "c 2"]


async def test_what_begins_while_a_group_is_made_is_the_next_one(syncer: NoSyncer) -> None:
    """However many turns of the loop it has begun in."""
    go_on, log = threading.Event(), list[str]()
    made = groups()
    first = started(made, Noted("a", log, go_on=go_on))
    await until(lambda: log)
    calls = []
    for name in "bcd":
        calls.append(started(made, Noted(name, log)))
        await anyio.lowlevel.checkpoint()
    go_on.set()
    await waited(first, *calls)

    assert syncer.groups == [["a"], ["b", "c", "d"]]


async def test_a_group_is_full_at_its_weight(syncer: NoSyncer) -> None:
    """The call that reaches it belongs to it, however heavy it is."""
    log = list[str]()
    made = groups(weight=10)
    calls = [
        started(made, Noted(name, log, weight=weight))
        for name, weight in (("a", 9), ("b", 50), ("c", 1))
    ]
    await waited(*calls)

    assert syncer.groups == [["a", "b"], ["c"]]


async def test_an_error_ends_its_own_call_alone(syncer: NoSyncer) -> None:
    """In any step, and also one that ends threads."""
    log = list[str]()
    made = groups(size=5)

    def refused(_: OpenFolders) -> None:
        raise KeyboardInterrupt

    syncer.errors["b"] = OSError("not on the disk")
    calls = [
        started(made, Single(refused)),
        started(made, Noted("a", log, SystemExit())),
        started(made, Noted("b", log)),
        started(made, Noted("c", log)),
    ]
    await waited(*calls)

    assert calls[3].unwrap() == "c"
    for call, kind in zip(calls, (KeyboardInterrupt, SystemExit, OSError), strict=False):
        with pytest.raises(kind):
            call.unwrap()
    assert "b 2" not in log
    assert syncer.closed == [["a", "b", "c"]]


async def test_where_syncing_itself_fails_all_calls_hear_of_it(syncer: NoSyncer) -> None:
    """None of them goes on as if its file were on the disk, and the next group is made."""
    log = list[str]()
    made = groups()
    syncer.error = MemoryError()
    calls = [started(made, Noted(name, log)) for name in "ab"]
    await waited(*calls)
    syncer.error = None
    later = started(made, Noted("c", log))
    await waited(later)

    for call in calls:
        with pytest.raises(MemoryError):
            call.unwrap()
    assert later.unwrap() == "c"


async def test_a_call_with_a_value_at_once_needs_no_second_step(syncer: NoSyncer) -> None:
    """Nothing of it is synced."""
    call = started(groups(), Single(lambda _: "value"))
    await waited(call)

    assert call.unwrap() == "value"
    assert syncer.groups == []


async def test_a_call_that_was_given_up_makes_no_further_step(syncer: NoSyncer) -> None:
    """It ends where it is, and those beside it are made."""
    go_on, log = threading.Event(), list[str]()
    made = groups()
    begun = started(made, Noted("a", log, go_on=go_on))
    beside = started(made, Noted("b", log))
    await until(lambda: log)
    waiting = started(made, Noted("c", log))
    begun.give_up_steps()
    waiting.give_up_steps()
    go_on.set()
    await waited(begun, beside, waiting)

    assert beside.unwrap() == "b"
    assert log == ["a 1", "b 1", "b 2"]
    assert syncer.closed == [["a", "b"], []]


async def test_a_wait_that_was_cancelled_can_be_repeated(syncer: NoSyncer) -> None:
    """The call goes on meanwhile."""
    go_on, log = threading.Event(), list[str]()
    call = started(groups(), Noted("a", log, go_on=go_on))
    await until(lambda: log)
    with anyio.move_on_after(0):
        await call.wait()
    go_on.set()
    await waited(call)
    await waited(call)

    assert call.unwrap() == "a"


async def test_no_more_groups_are_made_at_a_time_than_the_limit(syncer: NoSyncer) -> None:
    """And a thread that has ended is followed by another one."""
    go_on, running, most = threading.Event(), list[int](), list[int]()

    def one(_: OpenFolders) -> None:
        running.append(1)
        most.append(len(running))
        go_on.wait(20)
        running.pop()

    made = groups(limit=2, size=1)
    calls = []
    for _ in range(6):
        calls.append(started(made, Single(one)))
        await anyio.lowlevel.checkpoint()
    await until(lambda: len(most) >= 2)
    go_on.set()
    await waited(*calls)
    later = started(made, Single(one))
    await waited(later)

    assert max(most) == 2


async def test_without_threads_calls_are_made_in_the_loop(
    syncer: NoSyncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the only way that is left."""
    log: list[str] = []
    made = groups(size=1)

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        calls = [started(made, Noted(name, log)) for name in "ab"]
        await waited(*calls)
    later = started(made, Noted("c", log))
    await waited(later)

    assert [call.unwrap() for call in (*calls, later)] == ["a", "b", "c"]


async def test_a_folder_is_opened_once_for_a_group(tmp_path: Path) -> None:
    """And closed with it."""
    folders: list[Any] = []

    def look(opened: OpenFolders) -> None:
        folders.append(opened.get(str(tmp_path)))

    made = groups()
    calls = [started(made, Single(look)) for _ in range(2)]
    await waited(*calls)

    assert folders[0] is folders[1]
    if folders[0] is not None:
        with pytest.raises(OSError, match="descriptor"):
            os.fstat(folders[0].fd)


@pytest.mark.parametrize(("weight", "most"), [(1, _groups.AT_ONCE), (_groups.BYTES_AT_ONCE, 1)])
async def test_quick_calls_are_made_in_the_loop(syncer: NoSyncer, weight: int, most: int) -> None:
    """No more in one turn than hold it for a moment, and in their order."""
    log, threads = list[str](), set[threading.Thread]()

    class Quick(Noted):
        def write_file(self, folders: OpenFolders) -> bool:
            threads.add(threading.current_thread())
            return super().write_file(folders)

    made = groups()
    calls = [Quick(number, log, weight=weight) for number in range(most + 1)]
    for call in calls:
        call.is_quick = True
        made.begin_call(call)
    at_once = list(log)
    await waited(*calls)
    later = Quick("later", log)
    later.is_quick = True
    made.begin_call(later)
    await waited(later)

    assert at_once == []
    assert [call.unwrap() for call in (*calls, later)] == [*map(str, range(most + 1)), "later"]
    assert [len(group) for group in syncer.groups] == [most, 1, 1]
    assert syncer.closed == syncer.groups
    assert threads == {threading.current_thread()}


async def test_quick_calls_that_fail_or_are_given_up_end_all_the_same(syncer: NoSyncer) -> None:
    """Each by itself, and if their group breaks."""
    log = list[str]()
    made = groups()
    failing, dropped, whole = Noted("a", log, LookupError()), Noted("b", log), Noted("c", log)
    for call in (failing, dropped, whole):
        call.is_quick = True
        made.begin_call(call)
    dropped.give_up_steps()
    await waited(failing, dropped, whole)
    syncer.error = MemoryError()
    broken = Noted("d", log)
    broken.is_quick = True
    made.begin_call(broken)
    await waited(broken)

    assert log == ["a 1", "c 1", "a 2", "c 2", "d 1"]
    assert whole.unwrap() == "c"
    for call, kind in ((failing, LookupError), (broken, MemoryError)):
        with pytest.raises(kind):
            call.unwrap()


def test_quick_calls_of_a_loop_that_has_ended_do_not_hold_up_the_next(syncer: NoSyncer) -> None:
    """They are dropped with it."""
    log: list[str] = []
    made = groups()

    def quick(name: str) -> Noted:
        call = Noted(name, log)
        call.is_quick = True
        made.begin_call(call)
        return call

    async def begin(name: str) -> None:
        loop = running_loop()
        loop.call_soon(lambda: None)
        quick(name)

    async def begin_and_wait(name: str) -> object:
        call = quick(name)
        await waited(call)
        return call.unwrap()

    anyio.run(begin, "a")

    assert anyio.run(begin_and_wait, "b") == "b"


def test_two_loops_of_a_thread_make_their_own_quick_calls(syncer: NoSyncer) -> None:
    """As that of a notebook and one that runs inside it, or trio's as a guest of asyncio's."""
    made = groups()

    async def begin() -> list[Noted]:
        calls = [Noted(number, []) for number in range(3 * _groups.AT_ONCE)]
        for call in calls:
            call.is_quick = True
            made.begin_call(call)
        return calls

    async def end(calls: list[Noted]) -> None:
        with anyio.fail_after(20):
            await waited(*calls)

    async def begin_and_end() -> None:
        await end(await begin())

    with contextlib.closing(asyncio.new_event_loop()) as outer:
        calls = outer.run_until_complete(begin())
        with contextlib.closing(asyncio.new_event_loop()) as inner:
            inner.run_until_complete(begin_and_end())
        outer.run_until_complete(end(calls))

    assert [call.unwrap() for call in calls] == [str(number) for number in range(len(calls))]


def test_ctrl_c_at_the_end_of_a_group_of_quick_calls_is_not_lost(
    syncer: NoSyncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No call has taken it, since all have ended well."""
    made = groups()

    def interrupt(files: list[Any]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_groups, "close_files", interrupt)
    calls: list[Noted] = []

    async def begin_and_end() -> None:
        calls.append(Noted("a", []))
        calls[0].is_quick = True
        made.begin_call(calls[0])
        await waited(*calls)

    with contextlib.closing(asyncio.new_event_loop()) as loop:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(begin_and_end())
        loop.run_until_complete(waited(*calls))

    assert calls[0].unwrap() == "a"


def test_a_loop_that_ends_before_a_thread_was_told_does_not_hold_up_the_next(
    syncer: NoSyncer,
) -> None:
    """What it has begun is made with what another one begins."""
    log: list[str] = []
    made = groups()

    async def begin(name: str) -> StepCall:
        return started(made, Noted(name, log))

    async def begin_and_wait(name: str) -> object:
        call = await begin(name)
        await waited(call)
        return call.unwrap()

    anyio.run(begin, "a")

    assert anyio.run(begin_and_wait, "b") == "b"
    assert "a 2" in log


@pytest.mark.skipif(not hasattr(os, "fork"), reason="not on this system")
def test_a_child_process_starts_without_calls(syncer: NoSyncer) -> None:
    """It has none of the threads that would make them."""
    made = groups()
    made._working = 1
    made._reset()

    async def main() -> object:
        call = started(made, Noted("a", []))
        await waited(call)
        return call.unwrap()

    assert anyio.run(main) == "a"


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="not on this system")
async def test_files_of_a_group_are_synced_and_named(tmp_path: Path) -> None:
    """With nothing faked."""

    class Real(StepCall):
        def __init__(self, number: int) -> None:
            super().__init__(1, running_loop())
            self.name = str(number)

        def write_file(self, folders: OpenFolders) -> bool:
            folder = folders.get(str(tmp_path))
            assert folder is not None
            self.file = folder.open_unnamed()
            if self.file is None:
                pytest.skip("this file system has no such files")
            self.file.write(self.name.encode())
            return True

        def name_file(self) -> str:
            assert self.file is not None
            self.file.give_name(self.name)
            return self.name

    real = groups(size=64)
    calls = [started(real, Real(number)) for number in range(5)]
    await waited(*calls)

    assert [call.unwrap() for call in calls] == list("01234")
    assert all((tmp_path / each).read_bytes() == each.encode() for each in "01234")
    for call in calls:
        assert call.file is not None
        with pytest.raises(OSError, match="descriptor"):
            os.fstat(call.file.fd)


async def test_no_call_waits_forever_if_its_group_breaks(
    syncer: NoSyncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that has come to no end gets the error, and the thread makes the next group."""
    closed: list[OpenFolders] = []
    made = groups()
    with monkeypatch.context() as patched:
        patched.setattr(syncer, "sync", lambda _: [])  # too few for `zip`
        patched.setattr(OpenFolders, "close", lambda folders: closed.append(folders))
        broken = started(made, Noted("a", []))
        await waited(broken)
    whole = started(made, Noted("b", []))
    await waited(whole)

    with pytest.raises(ValueError, match="zip"):
        broken.unwrap()
    assert len(closed) == 1
    assert whole.unwrap() == "b"


async def test_what_has_ended_keeps_its_value_if_its_group_breaks(
    syncer: NoSyncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here when the folders of the group are closed."""

    def close(_: OpenFolders) -> None:
        raise MemoryError

    monkeypatch.setattr(OpenFolders, "close", close)
    made = groups()
    call = started(made, Noted("a", []))
    await waited(call)

    assert call.unwrap() == "a"


async def test_a_call_that_comes_when_a_thread_is_about_to_end_is_made(
    syncer: NoSyncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other thread is told of it, since that one still counts."""
    made = groups()
    next_calls = made._next_calls
    late = Noted("late", [])
    waiting = [late]

    def before_the_late_call() -> Iterator[StepCall]:
        group = list(next_calls())
        if not group and waiting:
            made._waiting.append(waiting.pop())
        yield from group

    monkeypatch.setattr(made, "_next_calls", before_the_late_call)
    first = started(made, Noted("first", []))
    await waited(first, late)

    assert late.unwrap() == "late"


def test_a_system_without_fork_has_groups(
    syncer: NoSyncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to be told of."""
    monkeypatch.delattr(os, "register_at_fork", raising=False)

    async def main() -> object:
        call = started(groups(), Noted("a", []))
        await waited(call)
        return call.unwrap()

    assert anyio.run(main) == "a"


async def test_an_end_that_raises_keeps_no_other_from_its_own() -> None:
    """They are called in the next turn; the error goes to the event loop."""
    ended: list[int] = []

    def end(number: int) -> None:
        if number == 1:
            raise MemoryError
        ended.append(number)

    calls = [StepCall(1, running_loop(), partial(end, number)) for number in range(3)]
    with pytest.raises(MemoryError):
        _groups._end(calls)
    await until(lambda: len(ended) == 2)

    assert ended == [0, 2]
