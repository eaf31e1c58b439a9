"""Calls in threads of our own."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace

import anyio
import anyio.lowlevel
import pytest

from asyncbatch._runtime._threads import NoThreads, Threads, are_threads_patched


async def test_what_is_called_in_a_thread_returns_and_raises() -> None:
    """As if it had been called here."""
    threads = Threads("asyncbatch-test", 2)

    def fail() -> None:
        raise KeyError("here")

    assert await threads.call(threading.get_ident) != threading.get_ident()
    with pytest.raises(KeyError, match="here"):
        await threads.call(fail)


async def test_what_is_given_up_before_its_turn_is_not_called() -> None:
    """And nobody waits for what has begun."""
    threads = Threads("asyncbatch-test", 1)
    begun, go_on = threading.Event(), threading.Event()
    called: list[int] = []

    def block() -> None:
        begun.set()
        go_on.wait(20)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(threads.call, block)
        while not begun.is_set():
            await anyio.lowlevel.checkpoint()
        tasks.start_soon(threads.call, lambda: called.append(1))
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    go_on.set()
    await threads.call(lambda: called.append(2))

    assert called == [2]


async def test_a_call_is_told_that_others_wait() -> None:
    """Those that no thread has taken."""
    threads = Threads("asyncbatch-test", 1)
    go_on = threading.Event()
    before = threads.are_wanted
    first = threads.submit(lambda: go_on.wait(20))
    second = threads.submit(lambda: threads.are_wanted)
    meanwhile = threads.are_wanted
    go_on.set()
    await first.ended.wait()
    await second.ended.wait()

    assert (before, meanwhile, second.result()) == (False, True, False)


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
async def test_a_system_without_threads_is_told(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The call is not left behind."""
    threads = Threads("asyncbatch-test", 2)

    def start(_: threading.Thread) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(NoThreads):
            await threads.call(int)

    assert await threads.call(int) == 0


def failing_start(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> None:
    """Have the next thread of a test's `Threads` not start; `meanwhile` is called before."""
    start = threading.Thread.start
    failed: list[threading.Thread] = []

    def failing(thread: threading.Thread) -> None:
        if thread.name != "asyncbatch-test" or failed:
            start(thread)
            return
        failed.append(thread)
        meanwhile()
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", failing)


def test_a_thread_that_runs_makes_the_calls_of_one_that_cannot_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They wait for their turn, as at the limit."""
    threads = Threads("asyncbatch-test", 2)
    go_on, made = threading.Event(), threading.Event()
    threads.start(lambda: go_on.wait(20))
    failing_start(monkeypatch, lambda: None)
    threads.start(made.set)
    go_on.set()

    assert made.wait(20)


def test_no_call_relies_on_a_thread_that_cannot_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here on one that another event loop of the program is starting."""
    threads = Threads("asyncbatch-test", 1)
    made = threading.Event()
    other = threading.Thread(target=threads.start, args=[made.set])

    def meanwhile() -> None:
        other.start()
        if not threads._lock.locked():
            other.join(20)

    failing_start(monkeypatch, meanwhile)
    with pytest.raises(NoThreads):
        threads.start(lambda: None)
    other.join(20)

    assert made.wait(5)


def test_a_call_that_comes_when_a_thread_is_about_to_end_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No other thread is started for it, since that one still counts."""
    threads = Threads("asyncbatch-test", 1)
    taken = threads._taken
    late = threading.Event()

    def taken_before_the_late_call() -> Callable[[], None] | None:
        call = taken()
        if call is None and not late.is_set():
            late.set()
            threads.start(made.set)
        return call

    monkeypatch.setattr(threads, "_taken", taken_before_the_late_call)
    made = threading.Event()
    threads.start(lambda: None)

    assert made.wait(5)


async def test_a_system_without_fork_has_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to be told of."""
    monkeypatch.delattr(os, "register_at_fork", raising=False)

    assert await Threads("asyncbatch-test", 1).call(int) == 0


@pytest.mark.parametrize("module", ["gevent.monkey", "eventlet.patcher"])
async def test_threads_that_are_none_are_not_used(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    """A greenlet would hold up what waits for it."""
    patcher = SimpleNamespace(
        is_module_patched=lambda name: name == "threading",
        is_monkey_patched=lambda name: name == "thread",
    )
    before = are_threads_patched()
    monkeypatch.setitem(sys.modules, module, patcher)

    assert not before
    with pytest.raises(NoThreads):
        await Threads("asyncbatch-test", 2).call(int)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own() -> None:
    """Whatever those of its parent were doing, and whichever lock they held."""
    threads = Threads("asyncbatch-test", 1)
    with threads._lock:
        threads._running = 1
        child = os.fork()
        if not child:
            os._exit(anyio.run(threads.call, lambda: 7))
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 7
