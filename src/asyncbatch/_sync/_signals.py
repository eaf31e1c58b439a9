"""
What a signal handler raises, carried out of an event loop that runs in the main thread.

uvloop runs handlers itself and logs what they raise; asyncio's own loop raises it in whatever runs
at the moment, a task or a callback, which may take it for a failure of its own. Here it ends what
the loop was started for, and comes out of that.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeAlias

Handlers: TypeAlias = dict[int, Callable[[int, FrameType | None], Any]]


def handlers_here() -> Handlers:
    """Return the handlers of the caller's own, by signal; none outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    installed = {number: signal.getsignal(number) for number in signal.valid_signals()}
    return {
        number: handler
        for number, handler in installed.items()
        # For Ctrl-C as Python has it both event loops have a way of their own.
        if callable(handler) and handler is not signal.default_int_handler
    }


@contextmanager
def interrupting(
    handlers: Handlers, interrupt: Callable[[], object], raised: list[BaseException]
) -> Generator[None]:
    """
    Call `interrupt` where one of the handlers raises; the second time it is raised right there.

    Args:
        handlers: What `handlers_here` returned; where there is another one by now, it stays.
        interrupt: Ends what is under way, from any thread.
        raised: Where what they raise is put.
    """
    ours: Handlers = {}

    def standing_in_for(handler: Callable[[int, FrameType | None], Any]) -> Any:
        def handle(number: int, frame: FrameType | None) -> None:
            try:
                handler(number, frame)
            except BaseException as error:
                raised.append(error)
                if len(raised) > 1:  # the interruption has not helped
                    raise
                interrupt()

        return handle

    try:
        for number, handler in handlers.items():
            if signal.getsignal(number) is handler:
                ours[number] = standing_in_for(handler)
                signal.signal(number, ours[number])
        yield
    finally:
        for number, handle in ours.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, handlers[number])
