"""
Passes exceptions of signal handlers out of an event loop that runs in the main thread.

uvloop runs the handlers itself and logs their exceptions. asyncio's own loop raises them in the
task or callback that is running, which may take them for its own failure. Here, the exception ends
the call that started the loop, and is raised from it.
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
    """Return the caller's own handlers, by signal; none outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    installed = {number: signal.getsignal(number) for number in signal.valid_signals()}
    return {
        number: handler
        for number, handler in installed.items()
        # Both event loops take care of Python's default handler of Ctrl-C.
        if callable(handler) and handler is not signal.default_int_handler
    }


@contextmanager
def interrupting(
    handlers: Handlers, interrupt: Callable[[], object], raised: list[BaseException]
) -> Generator[None]:
    """
    Call `interrupt` when a handler raises. The second exception is raised from the handler.

    Args:
        handlers: The result of `handlers_here`. A handler that was replaced since then is left.
        interrupt: Ends the running call; from any thread.
        raised: Receives the exceptions.
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
