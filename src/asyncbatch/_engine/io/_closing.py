"""
`Closing`: tracks the tasks and the event loop's transports of a pool until they have ended.
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
        # Set when the last transport is gone; `None` unless `wait_until_ended` waits for it.
        self._all_lost: Future[None] | None = None

    def transport_opened(self, transport: object) -> None:
        """Track a transport until the event loop has closed its socket."""
        self._open.add(transport)

    def transport_lost(self, transport: object) -> None:
        """Forget a transport."""
        self._open.discard(transport)
        if self._all_lost is not None and not self._open and not self._all_lost.done():
            self._all_lost.set_result(None)

    def start_task(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Start a task whose end `wait_until_ended` waits for."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def wait_until_ended(self) -> None:
        """Wait until cancelled tasks and aborted transports have ended, within `CLOSE_SECONDS`."""
        with anyio.move_on_after(CLOSE_SECONDS / 2):
            pending = [task for task in self._tasks if not is_current(task)]
            while pending:
                await first_done(pending)
                pending = [task for task in pending if not task.done()]
        if self._open:
            # An aborted transport closes its socket within the next turns of the loop.
            self._all_lost = self._loop.create_future()
            with anyio.move_on_after(CLOSE_SECONDS / 2):
                await self._all_lost
