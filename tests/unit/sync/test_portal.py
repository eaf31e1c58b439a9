"""An event loop in a thread of its own."""

from __future__ import annotations

import contextlib
import contextvars
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from asyncbatch import FetcherClosed
from asyncbatch._sync import _portal
from asyncbatch._sync._portal import Portal, is_loop_running, loop_options


class Held:
    """A context that remembers what happened to it."""

    def __init__(self, *, entering: BaseException | None = None, leaving: Any = None) -> None:
        self.events: list[str] = []
        self._entering, self._leaving = entering, leaving

    @contextlib.asynccontextmanager
    async def __call__(self) -> AsyncIterator[str]:
        if self._entering is not None:
            raise self._entering
        self.events.append("entered")
        try:
            yield "value"
        finally:
            self.events.append("left")
            if self._leaving is not None:
                raise self._leaving


async def where() -> str:
    return threading.current_thread().name


def test_a_context_is_held_open_in_a_thread() -> None:
    """From opening to closing; the calls run there."""
    held = Held()
    portal = Portal(held)

    assert portal.open() == "value"
    assert portal.call(where) == "asyncbatch"
    assert held.events == ["entered"]
    portal.close()
    portal.close()
    assert held.events == ["entered", "left"]


def test_a_context_that_cannot_be_entered_fails_the_opening() -> None:
    """No thread is left."""
    before = set(threading.enumerate())
    with pytest.raises(ValueError, match="no"):
        Portal(Held(entering=ValueError("no"))).open()

    assert not set(threading.enumerate()) - before


def test_an_error_of_leaving_is_raised() -> None:
    """By who closes."""
    portal = Portal(Held(leaving=ValueError("at the end")))
    portal.open()
    with pytest.raises(ValueError, match="at the end"):
        portal.close()


def test_the_variables_of_the_caller_are_those_of_the_call() -> None:
    """Whoever calls."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    async def read() -> str:
        return variable.get()

    portal = Portal(Held())
    portal.open()
    try:
        variable.set("mine")
        assert portal.call(read) == "mine"
    finally:
        portal.close()


def test_an_error_of_a_call_is_its_callers() -> None:
    """And of nobody else: the next call works."""

    async def fail() -> None:
        raise KeyError("x")

    portal = Portal(Held())
    portal.open()
    try:
        with pytest.raises(KeyError):
            portal.call(fail)
        assert portal.call(where)
    finally:
        portal.close()


def test_a_call_can_be_cancelled_from_any_thread() -> None:
    """Its outcome says so."""
    started = threading.Event()

    async def hang() -> None:
        started.set()
        await anyio.sleep_forever()

    portal = Portal(Held())
    portal.open()
    try:
        call = portal.start(hang)
        started.wait()
        call.cancel()
        with pytest.raises(FetcherClosed):
            call.outcome.wait()
    finally:
        portal.close()


def test_a_loop_that_ends_by_itself_ends_what_is_under_way() -> None:
    """Each call learns that, and there are no further ones."""
    started = threading.Event()

    async def hang() -> None:
        started.set()
        await anyio.sleep_forever()

    portal = Portal(Held())
    portal.open()
    call = portal.start(hang)
    started.wait()
    portal.call_soon_threadsafe(lambda: portal._loop.tasks.cancel_scope.cancel())  # type: ignore[union-attr]
    with pytest.raises(FetcherClosed):
        call.outcome.wait()
    portal._thread.join()
    with pytest.raises(FetcherClosed):
        portal.start(where)
    portal.close()


def test_a_portal_that_was_never_opened_takes_no_call() -> None:
    """And closes without a word."""
    portal = Portal(Held())
    with pytest.raises(FetcherClosed):
        portal.start(where)
    portal.call_soon_threadsafe(lambda: None)
    portal.close()
    portal.stop_unclosed()


def test_a_call_in_the_thread_of_the_loop_would_wait_for_itself() -> None:
    """So would closing."""

    async def call() -> list[str]:
        found = []
        for function in (lambda: portal.call(where), portal.close):
            with pytest.raises(RuntimeError, match="wait for itself") as caught:
                function()
            found.append(str(caught.value))
        return found

    portal = Portal(Held())
    portal.open()
    try:
        assert len(portal.call(call)) == 2
    finally:
        portal.close()


def test_another_process_takes_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread is not there after a fork, and nothing is closed in it."""
    held = Held()
    portal = Portal(held)
    portal.open()
    with monkeypatch.context() as patch:
        patch.setattr(_portal.os, "getpid", lambda: -1)
        with pytest.raises(FetcherClosed, match="another process"):
            portal.start(where)
        portal.stop_unclosed()
    assert held.events == ["entered"]
    portal._closed = False
    portal.close()


def test_a_portal_that_is_dropped_ends_its_loop() -> None:
    """Without waiting for it."""
    held = Held()
    portal = Portal(held)
    portal.open()
    portal.stop_unclosed()
    portal._thread.join()

    assert held.events == ["entered", "left"]
    portal.call_soon_threadsafe(lambda: None)


@pytest.mark.parametrize(("patched", "expected"), [(True, False), (False, None)])
def test_greenlets_get_asyncios_loop(
    patched: bool, expected: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uvloop waits in C, which would block all of them."""
    monkeypatch.setattr(_portal, "are_threads_patched", lambda: patched)
    uses = loop_options()["use_uvloop"]

    assert uses is (_portal._has_uvloop() if expected is None else expected)


async def test_a_running_loop_is_seen() -> None:
    """Of whatever library."""
    assert is_loop_running()


def test_without_one_none_is_seen() -> None:
    """As in a script."""
    assert not is_loop_running()


def test_a_loop_that_cannot_run_fails_the_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own error, and no thread is left."""

    def fail() -> None:
        raise ValueError("no loop")

    monkeypatch.setattr(_portal, "loop_options", fail)
    portal = Portal(Held())
    with pytest.raises(ValueError, match="no loop"):
        portal.open()

    assert not portal._thread.is_alive()


def test_without_sniffio_a_loop_runs_all_the_same() -> None:
    """Only some libraries need it. In a process of its own, since anyio looks for it at import."""
    code = """
import sys
sys.modules["sniffio"] = None
import anyio
from asyncbatch._sync._portal import run_loop
run_loop(lambda: anyio.sleep(0))
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )

    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_end_of_a_call_is_not_waited_for_in_the_thread_of_the_loop() -> None:
    """The call could not end meanwhile."""
    portal = Portal(Held())
    portal.open()

    async def wait_here() -> float:
        begun = time.monotonic()
        portal.prepare(where).wait_ended(10)
        return time.monotonic() - begun

    try:
        assert portal.call(wait_here) < 5
    finally:
        portal.close()
