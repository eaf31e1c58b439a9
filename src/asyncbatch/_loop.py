"""
What can be asked and told of an event loop by whoever does not run in it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from anyio.lowlevel import EventLoopToken


def call_soon(loop: EventLoopToken | None, function: Callable[[], object]) -> None:
    """Have `function` called by a loop, from any thread; one that has ended does not."""
    native: Any = None if loop is None else loop.native_token
    call = getattr(native, "call_soon_threadsafe", None) or getattr(native, "run_sync_soon", None)
    if call is not None:
        with suppress(RuntimeError):  # of asyncio and trio alike, for a loop that has ended
            call(function)


def is_running(loop: EventLoopToken | None) -> bool:
    """Whether a loop is known to run; trio's do not tell."""
    native: Any = None if loop is None else loop.native_token
    ask = getattr(native, "is_running", None)
    return ask is not None and bool(ask())
