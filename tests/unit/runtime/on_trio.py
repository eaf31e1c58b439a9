"""What tests of a loop on trio run in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
import trio.testing

from asyncbatch._runtime._trio_loop import TrioLoop, running_trio_loop


def run(function: Callable[[TrioLoop], Awaitable[Any]]) -> Any:
    """Run a test on trio, whose clock jumps over every wait."""

    async def main() -> Any:
        return await function(running_trio_loop())

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await trio.lowlevel.checkpoint()
