"""
The caller's functions that are asked about results: `check`, and `Retry.when`.

They are called here, their time is taken, and what they raise becomes an error of that request.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Generator
from typing import Any

from asyncbatch._lanes import exit_of_caller
from asyncbatch._runtime._event_loop import Clock
from asyncbatch._runtime._stalls import LEAST, Stalls
from asyncbatch._values._result import Failure


class Callbacks:
    """
    Asks the caller's functions.

    Args:
        clock: The batch's.
        stalls: Are told of what takes long.
    """

    def __init__(self, clock: Clock, stalls: Stalls) -> None:
        self._clock = clock
        self._stalls = stalls

    def examine(self, check: Callable[[Any], object], response: Any) -> Exception | None:
        """Return what `check` raises about a response."""
        try:
            refuse_awaitable("check", self._call(check, response))
        except Exception as error:
            return error
        except GeneratorExit as error:
            return exit_of_caller(error)
        return None

    def ask(
        self, when: Callable[[Failure], object], failure: Failure
    ) -> bool | float | Exception | None:
        """Return what `when` says about a failure, or the error that it raises."""
        try:
            return _wish_of(self._call(when, failure))
        except Exception as error:
            return error
        except GeneratorExit as error:
            return exit_of_caller(error)

    def _call(self, function: Callable[[Any], object], about: Any) -> object:
        begun = self._clock()
        try:
            return next(_called(function, about))
        finally:
            took = self._clock() - begun
            if took >= LEAST:
                self._stalls.take_out(took, begun)


def _called(function: Callable[[Any], object], about: Any) -> Generator[object]:
    # From a generator: its frame lets go of those behind it when it ends, and a traceback that is
    # kept with a result would hold them, and the whole batch.
    yield function(about)


def _wish_of(answer: object) -> bool | float | None:
    if answer is None or isinstance(answer, bool):
        return answer
    refuse_awaitable("Retry.when", answer)
    if not isinstance(answer, int | float):
        raise TypeError(
            f"Retry.when must return True, False, a number of seconds or None, not {answer!r}"
        )
    if not 0 <= answer < math.inf:
        raise ValueError(f"Retry.when must return a number of seconds from 0 on, not {answer!r}")
    return float(answer)


def refuse_awaitable(name: str, answer: object) -> None:
    """
    Refuse an answer that would have to be awaited.

    Raises:
        TypeError: It is one.
    """
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise TypeError(f"{name} must not have to be awaited; it returned {answer!r}")
