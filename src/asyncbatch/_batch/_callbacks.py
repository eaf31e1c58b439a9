"""
Calls of the caller's functions on results: `check` and `Retry.when`.

Their time is measured, and their exceptions become the error of the request.
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
    Calls the caller's functions.

    Args:
        clock: The clock of the batch.
        stalls: Receive the time of a call that takes long.
    """

    def __init__(self, clock: Clock, stalls: Stalls) -> None:
        self._clock = clock
        self._stalls = stalls

    def examine(self, check: Callable[[Any], object], response: Any) -> Exception | None:
        """Call `check` with a response, and return its exception, if it raises one."""
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
        """Call `when` with a failure, and return its answer, or the exception that it raises."""
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
    # In a generator, whose frame drops the reference to its caller when it ends: a traceback that
    # is kept with a result would otherwise keep the whole batch alive.
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
        raise ValueError(f"Retry.when must return 0 or more seconds, not {answer!r}")
    return float(answer)


def refuse_awaitable(name: str, answer: object) -> None:
    """
    Raise if an answer would have to be awaited.

    Raises:
        TypeError: If it is awaitable.
    """
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise TypeError(f"{name} must be a plain function, not async; it returned {answer!r}")
