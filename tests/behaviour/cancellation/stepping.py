"""
Event loops that let a test act at every single step of what runs on them.

A step is the finest unit there is: on asyncio each callback of the loop, on uvloop each time a task
goes on, on trio the same. Nothing here knows what is being tested.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.lowlevel
import trio


class Steps:
    """Counts steps, and acts once, just before the n-th one."""

    def __init__(self) -> None:
        self.taken = 0
        self._left = 0
        self._act: Callable[[], object] | None = None

    def act_at(self, step: int, act: Callable[[], object]) -> None:
        """Call `act` before the `step`-th step from now, the next one being the first."""
        self._left = step
        self._act = act

    def disarm(self) -> bool:
        """Do nothing more; say whether it has acted."""
        act, self._act = self._act, None
        return act is None

    def take(self) -> None:
        """Note that a step is about to be taken."""
        self.taken += 1
        if self._act is None:
            return
        self._left -= 1
        if self._left == 0:
            act, self._act = self._act, None
            act()


class _Ready(deque[Any]):
    """The callbacks that an asyncio loop is about to run, one after the other."""

    steps: Steps

    def popleft(self) -> Any:
        self.steps.take()
        return super().popleft()


class SteppingLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop; its steps are its callbacks."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self._ready = _Ready(self._ready)
        self._ready.steps = steps

    def watched(self) -> int:
        """How many descriptors it watches."""
        return len(self._selector.get_map())  # type: ignore[attr-defined]

    def timers(self) -> int:
        """How many timers are set."""
        return sum(not timer.cancelled() for timer in self._scheduled)  # type: ignore[attr-defined]


class SteppingCoroutine(Coroutine[Any, Any, Any]):
    """A coroutine whose every resumption is a step."""

    def __init__(self, inner: Any, steps: Steps) -> None:
        self._inner = inner
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __await__(self) -> Any:
        return self._inner.__await__()

    def send(self, value: Any) -> Any:
        self._steps.take()
        return self._inner.send(value)

    def throw(self, *error: Any) -> Any:
        self._steps.take()
        return self._inner.throw(*error)

    def close(self) -> None:
        self._inner.close()


def step_tasks(loop: asyncio.AbstractEventLoop, steps: Steps) -> None:
    """Count the steps of every task that `loop` starts from now on."""

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        return asyncio.Task(SteppingCoroutine(coroutine, steps), loop=loop, **options)

    loop.set_task_factory(make)


class SteppingInstrument(trio.abc.Instrument):
    """Counts the steps of the tasks of one trio run."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._steps.take()


def run_stepping(
    backend: str, function: Callable[[Steps], Coroutine[Any, Any, Any]]
) -> tuple[Any, list[str]]:
    """
    Run `function` on "asyncio", "uvloop" or "trio", with the steps of its loop.

    Returns:
        What it returned, and what the loop complained about, which nobody else would hear.
    """
    steps = Steps()
    if backend == "trio":
        instruments = {"instruments": [SteppingInstrument(steps)]}
        return anyio.run(function, steps, backend="trio", backend_options=instruments), []
    complaints: list[str] = []

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(repr(context)))
        if backend == "uvloop":
            step_tasks(loop, steps)
        return await asyncio.ensure_future(function(steps))  # a task whose steps count, too

    with asyncio.Runner(loop_factory=lambda: new_loop(backend, steps)) as runner:
        found = runner.run(main())
    return found, complaints


def new_loop(backend: str, steps: Steps) -> asyncio.AbstractEventLoop:
    """Make an event loop of asyncio's."""
    if backend != "uvloop":
        return SteppingLoop(steps)
    import uvloop

    return uvloop.new_event_loop()
