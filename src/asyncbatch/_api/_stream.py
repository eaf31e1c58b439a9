"""
A stream of results as a context manager, which opens and closes the task group of its batch.

`_batch` runs the batch; its `_output` hands the results over.
"""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, NoReturn

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from asyncbatch._batch import Batch
from asyncbatch._batch._output import Delivered
from asyncbatch._results._results import ResultStream
from asyncbatch._runtime._event_loop import call_soon, running_clock
from asyncbatch._values._timeouts import CLOSE_SECONDS


class Streaming(AbstractAsyncContextManager[ResultStream]):
    """
    Context manager that runs a batch from entering to leaving, over its results. Use it once.

    It is a class rather than a generator: the garbage collector would resume a dropped generator in
    another task.

    Args:
        output: The output of the batch, which yields the results.
        begin: Makes the batch, or raises if it cannot run.
        running: The running batches of the fetcher; the batch is a member while it runs.
    """

    def __init__(
        self, output: Delivered, begin: Callable[[], Awaitable[Batch]], running: set[Batch]
    ) -> None:
        self._output = output
        self._begin = begin
        self._running = running
        # None until the stream is entered; they stay afterwards.
        self._batch: Batch | None = None
        self._tasks: TaskGroup | None = None
        self._loop: anyio.lowlevel.EventLoopToken | None = None
        self._coroutine: Coroutine[Any, Any, None] | None = None
        self._task_id = 0
        self._left = False

    def __aiter__(self) -> NoReturn:
        """
        Refuse iteration without entering.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            "a stream must be entered first: async with fetcher.stream(...) as results, "
            "and inside it: async for result in results"
        )

    async def __aenter__(self) -> ResultStream:
        if self._batch is not None:
            raise RuntimeError("this stream has been entered before; call stream() again")
        self._batch = batch = await self._begin()
        self._output.on_room = batch.notify
        self._output.figures.start_clock(running_clock(), batch.limits)
        self._loop = anyio.lowlevel.current_token()
        self._task_id = anyio.get_current_task().id
        self._tasks = tasks = anyio.create_task_group()
        await tasks.__aenter__()
        self._running.add(batch)
        # Kept, since asyncio may cancel a task before its first step.
        coroutine = self._coroutine = self._run(batch, self._output, self._running)
        tasks.start_soon(lambda: coroutine)
        return self._output

    @staticmethod  # else the task would keep this object alive, whose `__del__` warns
    async def _run(batch: Batch, output: Delivered, running: set[Batch]) -> None:
        try:
            await batch.run_and_deliver(output)
        finally:
            running.discard(batch)

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        assert self._tasks is not None
        assert self._batch is not None
        assert self._coroutine is not None
        self._left = True
        self._output.consumer_left()
        if anyio.get_current_task().id != self._task_id:
            await self._leave_behind(self._batch)
            return None
        tasks = self._tasks
        tasks.cancel_scope.cancel()
        try:
            if isinstance(error, anyio.get_cancelled_exc_class()):
                return await tasks.__aexit__(error_type, error, traceback)
            # Other errors are not passed to the group, which would wrap them in an ExceptionGroup.
            await tasks.__aexit__(None, None, None)
        finally:
            self._running.discard(self._batch)
            self._coroutine.close()
            await self._batch.close_input()
        return None

    async def _leave_behind(self, batch: Batch) -> None:
        """
        End the batch from a task other than the one that entered the stream.

        The task group cannot be closed from here, and cancelling it would cancel the other task.
        """
        batch.end_at_once()
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await batch.wait_ended()
        warnings.warn(
            "a stream was left by another task than the one that entered it, as happens when an "
            "async generator is dropped; close the generator with contextlib.aclosing",
            ResourceWarning,
            stacklevel=3,
        )

    def __del__(self) -> None:
        batch = getattr(self, "_batch", None)
        if batch is None or self._left:
            return
        # The garbage collector may run in any thread.
        call_soon(self._loop, batch.end_at_once)
        warnings.warn("a stream was not left; use it in an async with", ResourceWarning, 1, self)
