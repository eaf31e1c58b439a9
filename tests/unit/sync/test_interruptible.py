"""Waits of synchronous code for another thread."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import anyio
import pytest

from asyncbatch._sync import _interruptible
from asyncbatch._sync._interruptible import (
    POLL_SECONDS,
    SIGNAL_SECONDS,
    Promise,
    Wait,
    wait_for_first,
)


def in_thread(function: Any) -> Any:
    """Run a function in a thread, and return what it returns."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_the_first_that_is_left_counts() -> None:
    """A value or an error."""
    outcome: Promise[int] = Promise()
    outcome.leave_value(1)
    outcome.leave_error(ValueError())
    other: Promise[int] = Promise()
    other.leave_error(ValueError("first"))
    other.leave_value(1)

    assert outcome.wait() == 1
    with pytest.raises(ValueError, match="first"):
        other.wait()


def test_another_thread_is_waited_for() -> None:
    """As long as it takes."""
    outcome: Promise[str] = Promise()
    waiting = threading.Event()

    def leave() -> None:
        waiting.wait()
        outcome.leave_value("done")

    thread = threading.Thread(target=leave)
    thread.start()
    waiting.set()

    assert outcome.wait() == "done"
    thread.join()


def test_outside_of_a_loop_a_signal_ends_the_wait_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that it needs no short limit; but on Windows none does."""
    wait = Wait()
    wait.check()

    monkeypatch.setattr(sys, "platform", "linux")
    assert wait.seconds == SIGNAL_SECONDS
    monkeypatch.setattr(sys, "platform", "win32")
    assert wait.seconds == POLL_SECONDS
    assert in_thread(lambda: Wait().seconds) is None


def test_an_interruption_shows_nothing_of_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its traceback has no error of the queue that is waited on, also if a wait is just over."""
    interruption = KeyboardInterrupt()

    def interrupt(_: Wait) -> None:
        raise interruption

    monkeypatch.setattr(_interruptible, "SIGNAL_SECONDS", 0.001)
    monkeypatch.setattr(Wait, "check", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Promise[None]().wait()

    assert interruption.__context__ is None


def wait_for_promise() -> None:
    Promise[None]().wait()


def wait_for_future() -> None:
    wait_for_first([Future()])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals of threads")
@pytest.mark.parametrize("wait", [wait_for_promise, wait_for_future])
def test_a_signal_that_does_not_end_the_wait_is_handled_soon(
    monkeypatch: pytest.MonkeyPatch, wait: Callable[[], None]
) -> None:
    """One that comes just before the wait begins, or that another thread receives."""

    class Interrupted(Exception):
        pass

    def interrupt(number: int, frame: Any) -> None:
        raise Interrupted

    def receive() -> None:
        waiting.wait()
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    monkeypatch.setattr(_interruptible, "SIGNAL_SECONDS", 0.01)
    before = signal.signal(signal.SIGUSR1, interrupt)
    waiting = threading.Event()
    thread = threading.Thread(target=receive)
    thread.start()
    try:
        waiting.set()
        with pytest.raises(Interrupted):
            wait()
    finally:
        signal.signal(signal.SIGUSR1, before)
        thread.join()


@pytest.mark.asyncio_only
async def test_under_asyncio_a_wait_looks_up_now_and_then() -> None:
    """The first Ctrl-C only cancels the task that is blocked."""
    assert Wait().seconds == POLL_SECONDS

    wait = Wait()
    wait.check()
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        wait.check()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(0)
    task.uncancel()


def test_the_futures_that_are_done_are_returned() -> None:
    """As soon as there is one, also if none was when the wait began."""
    first: Future[int] = Future()
    other: Future[int] = Future()
    thread = threading.Thread(target=other.set_result, args=(1,))
    thread.start()

    assert wait_for_first([first, other]) == {other}
    thread.join()


@pytest.mark.parametrize("wait", [wait_for_promise, wait_for_future])
def test_a_wait_looks_up_whether_to_end(
    monkeypatch: pytest.MonkeyPatch, wait: Callable[[], None]
) -> None:
    """Each time its limit has passed."""

    class Ended(Exception):
        pass

    def check(self: Wait) -> None:
        checks.append(self)
        if len(checks) == 3:
            raise Ended

    checks: list[Wait] = []
    monkeypatch.setattr(_interruptible, "SIGNAL_SECONDS", 0.001)
    monkeypatch.setattr(Wait, "check", check)

    with pytest.raises(Ended):
        wait()


@pytest.mark.asyncio_only
async def test_a_call_in_a_cancelled_scope_is_clean_up() -> None:
    """It is not cancelled once more."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        Wait().check()
        await anyio.lowlevel.checkpoint()

    assert scope.cancelled_caught


@pytest.mark.asyncio_only
@pytest.mark.may_block
async def test_a_wait_ends_when_its_task_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the next look."""
    monkeypatch.setattr(_interruptible, "POLL_SECONDS", 0.001)
    outcome: Promise[int] = Promise()
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        outcome.wait()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(0)
    task.uncancel()


def test_a_wait_with_a_limit_takes_nothing_away() -> None:
    """It ends without a value too, and who waits afterwards gets what there is."""
    outcome: Promise[int] = Promise()
    outcome.wait_left(0)
    outcome.leave_value(1)
    outcome.wait_left(0)

    assert outcome.wait() == 1
