"""
What the event loop has not ended yet of what a pool has begun: its own transports, and tasks.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import anyio

from asyncbatch._engine._event_loop import EventLoop, Future, Task, first_done, is_current
from asyncbatch._values._timeouts import CLOSE_SECONDS

T = TypeVar("T")


class Closing:
    """Remembers transports and tasks, so that closing can wait for their end."""

    __slots__ = ("_all_lost", "_loop", "_open", "_tasks")

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._open: set[object] = set()
        self._tasks: set[Task[Any]] = set()
        # Settled when the last transport is gone; None unless somebody waits for that.
        self._all_lost: Future[None] | None = None

    def transport_opened(self, transport: object) -> None:
        """Remember a transport until the event loop lets go of it."""
        self._open.add(transport)

    def transport_lost(self, transport: object) -> None:
        """Forget a transport."""
        self._open.discard(transport)
        if self._all_lost is not None and not self._open and not self._all_lost.done():
            self._all_lost.set_result(None)

    def start_task(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Start a task that closing waits for."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def wait_until_ended(self) -> None:
        """Wait for what has been cancelled and aborted, within `CLOSE_SECONDS`."""
        with anyio.move_on_after(CLOSE_SECONDS / 2):
            pending = [task for task in self._tasks if not is_current(task)]
            while pending:
                await first_done(pending)
                pending = [task for task in pending if not task.done()]
        if self._open:
            # Aborted transports let go of their sockets within the next rounds of the loop.
            self._all_lost = self._loop.create_future()
            with anyio.move_on_after(CLOSE_SECONDS / 2):
                await self._all_lost
