"""`Groups`: calls in steps, made by threads together."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator

import anyio
import anyio.lowlevel
import pytest

from asyncbatch._files._groups import Groups, StepCall
from asyncbatch._runtime._threads import NoThreads, Threads


def groups(*, limit: int = 1, size: int = 3) -> Groups:
    return Groups(Threads("asyncbatch-test", 2), limit=limit, size=size)


def held(go_on: threading.Event) -> Generator[None, None, None]:
    """Return steps that hold the thread."""
    go_on.wait(20)
    yield


def noted(
    name: str, log: list[str], error: BaseException | None = None
) -> Generator[None, None, str]:
    """Return steps that note themselves."""
    try:
        log.append(f"{name} 1")
        yield
        log.append(f"{name} 2")
        if error is not None:
            raise error
    finally:
        log.append(f"{name} ends")
    return name


async def waited(*calls: StepCall) -> None:
    with anyio.fail_after(20):
        for call in calls:
            await call.ended.wait()


async def test_what_waits_is_made_step_by_step() -> None:
    """The first steps of all, and then the second ones; no more at a time than a group has."""
    go_on, log = threading.Event(), list[str]()
    made = groups(size=2)
    first = made.begin(held(go_on))
    calls = [made.begin(noted(name, log)) for name in "abc"]
    go_on.set()
    await waited(first, *calls)

    assert [call.result() for call in calls] == ["a", "b", "c"]
    # The first call may have been taken alone, or with "a".
    assert log in (
        ["a 1", "b 1", "a 2", "a ends", "b 2", "b ends", "c 1", "c 2", "c ends"],
        ["a 1", "a 2", "a ends", "b 1", "c 1", "b 2", "b ends", "c 2", "c ends"],
    )


async def test_an_error_ends_its_own_call_alone() -> None:
    """Also one that ends threads."""
    go_on, log = threading.Event(), list[str]()
    made = groups()
    first = made.begin(held(go_on))
    failed = made.begin(noted("a", log, KeyboardInterrupt()))
    other = made.begin(noted("b", log))
    go_on.set()
    await waited(first, failed, other)

    assert other.result() == "b"
    with pytest.raises(KeyboardInterrupt):
        failed.result()


async def test_a_call_that_was_given_up_makes_no_further_step() -> None:
    """It ends where it is, and those before and after it are made."""
    entered, go_on, log = threading.Event(), threading.Event(), list[str]()

    def slow() -> Generator[None, None, None]:
        try:
            entered.set()
            go_on.wait(20)
            yield
            log.append("not this")
        finally:
            log.append("ends")

    made = groups()
    begun = made.begin(slow())
    while not entered.is_set():
        await anyio.lowlevel.checkpoint()
    waiting, other = made.begin(noted("a", log)), made.begin(noted("b", log))
    begun.give_up()
    waiting.give_up()
    go_on.set()
    await waited(begun, waiting, other)

    assert other.result() == "b"
    assert sorted(log) == ["b 1", "b 2", "b ends", "ends"]


async def test_no_more_groups_are_made_at_a_time_than_the_limit() -> None:
    """And a thread that has ended is followed by another one."""
    go_on, running, most = threading.Event(), list[int](), list[int]()

    def one() -> Generator[None, None, None]:
        running.append(1)
        most.append(len(running))
        go_on.wait(20)
        running.pop()
        yield

    made = groups(limit=2, size=1)
    calls = [made.begin(one()) for _ in range(6)]
    while len(most) < 2:
        await anyio.lowlevel.checkpoint()
    go_on.set()
    await waited(*calls)
    later = made.begin(one())
    await waited(later)

    assert max(most) <= 2


async def test_a_system_without_threads_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call is not left behind."""
    log: list[str] = []
    made = groups()

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(NoThreads):
            made.begin(noted("a", log))
    later = made.begin(noted("b", log))
    await waited(later)

    assert later.result() == "b"
    assert log == ["b 1", "b 2", "b ends"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="not on this system")
def test_a_child_process_starts_without_calls() -> None:
    """It has none of the threads that would make them."""
    made = groups()
    made._working = 1
    made._reset()

    async def main() -> object:
        call = made.begin(noted("a", []))
        await waited(call)
        return call.result()

    assert anyio.run(main) == "a"
