"""
`Receivers`: threads that receive the bodies that they write.

There are few of them. If the disk holds up all of them, other threads write in their place, because
the next file may be on another disk.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TypeVar

import anyio

from asyncbatch._runtime._threads import ThreadCall, Threads

T = TypeVar("T")


class Receivers:
    """
    Threads of which any may be held up for long, as by a network file system that is gone.

    Args:
        threads: The threads.
        wait: Seconds without a free thread after which all of them count as held up, until one is
            free again. Calls of other files only take some milliseconds.
    """

    def __init__(self, threads: Threads, wait: float) -> None:
        self._threads = threads
        self._wait = wait
        # When a thread last took a call. Written by the threads.
        self._taken_at = 0.0
        # Set to true by the event loop, and to false by each thread that is free.
        self._are_held_up = False

    @property
    def are_wanted(self) -> bool:
        """Whether calls wait for their turn, so that a long one had better pause."""
        return self._threads.are_wanted

    async def call(self, function: Callable[[], T]) -> T | None:
        """
        Call `function` in one of the threads, and return its value.

        Returns:
            `None` without a call if all threads are held up.

        Raises:
            NoThreads: As `Threads.call` does.
            BaseException: As raised by `function`.
        """
        if self._are_held_up:
            return None
        call = ThreadCall(function)
        self._threads.start(partial(self._run, call))
        try:
            while not call.ended.is_set():
                with anyio.move_on_after(self._wait):
                    await call.ended.wait()
                    break
                # A call that has begun, and hangs itself, tells nothing about free threads.
                waited = call.is_waiting and monotonic() - self._taken_at >= self._wait
                if waited and self._withdraw(call):
                    return None
        finally:
            call.drop_call()
        result: T = call.result()
        return result

    def _withdraw(self, call: ThreadCall) -> bool:
        """Return whether no thread has begun a call, which is not made any more then."""
        # Before it is withdrawn: a thread that takes it afterwards is free.
        self._are_held_up = True
        if call.withdraw():
            return True
        self._are_held_up = False
        return False

    def _run(self, call: ThreadCall) -> None:
        self._taken_at = monotonic()
        call.run()
        self._are_held_up = False
