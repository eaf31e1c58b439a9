"""Calls of the caller's functions on results."""

from __future__ import annotations

import math
from typing import Any

import pytest

from asyncbatch._batch._callbacks import Callbacks, refuse_awaitable
from asyncbatch._runtime._stalls import LEAST, Stalls


class Clock:
    """Goes on by what a callback takes."""

    def __init__(self) -> None:
        self.now = 5.0
        self.taken_out: list[tuple[float, float]] = []
        self.stalls = Stalls()
        self.stalls.join(lambda seconds, before: self.taken_out.append((seconds, before)))
        self.callbacks = Callbacks(lambda: self.now, self.stalls)

    def taking(self, seconds: float, answer: Any = None) -> Any:
        """Return a function that takes so long."""

        def function(_: Any) -> Any:
            self.now += seconds
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return function


class Result:
    """Stands for a response or a failure: callbacks only hand it on."""


GIVEN: Any = Result()


def test_a_check_that_returns_has_nothing_against_the_response() -> None:
    """Whatever it returns; it is given the response itself."""
    clock, seen = Clock(), []
    assert clock.callbacks.examine(seen.append, GIVEN) is None
    assert clock.callbacks.examine(lambda _: False, GIVEN) is None

    assert seen == [GIVEN]


@pytest.mark.parametrize("error", [ValueError("no"), AssertionError()])
def test_what_a_check_raises_is_its_error(error: Exception) -> None:
    """A `GeneratorExit` would end the batch."""
    clock = Clock()

    assert clock.callbacks.examine(clock.taking(0, error), GIVEN) is error
    stand_in = clock.callbacks.examine(clock.taking(0, GeneratorExit()), GIVEN)
    assert isinstance(stand_in, RuntimeError)


async def later(_: Any) -> None:
    """Have to be awaited."""


class Later:
    """Has to be awaited too, and has nothing to close."""

    def __await__(self) -> Any:
        yield


def test_a_check_that_has_to_be_awaited_is_an_error() -> None:
    """It would let everything pass. Its coroutine is closed, or Python warned of it."""
    clock = Clock()

    assert isinstance(clock.callbacks.examine(later, GIVEN), TypeError)
    assert isinstance(clock.callbacks.ask(later, GIVEN), TypeError)
    with pytest.raises(TypeError, match="check"):
        refuse_awaitable("check", later(GIVEN))
    with pytest.raises(TypeError, match="check"):
        refuse_awaitable("check", Later())


@pytest.mark.parametrize(
    ("answer", "wish"),
    [(None, None), (True, True), (False, False), (0, 0.0), (3, 3.0), (0.5, 0.5)],
)
def test_an_answer_of_when_is_a_wish(answer: Any, wish: Any) -> None:
    """Or leaves it to the policy."""
    found = Clock().callbacks.ask(lambda _: answer, GIVEN)

    assert found == wish
    assert type(found) is type(wish)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("yes", TypeError),
        ([1], TypeError),
        (-1, ValueError),
        (math.inf, ValueError),
        (math.nan, ValueError),
    ],
)
def test_an_answer_of_when_that_is_none_is_an_error(answer: Any, error: type[Exception]) -> None:
    """It is told with the answer."""
    found = Clock().callbacks.ask(lambda _: answer, GIVEN)

    assert isinstance(found, error)
    assert repr(answer) in str(found)


def test_what_when_raises_is_its_error() -> None:
    """As of `check`."""
    clock, error = Clock(), KeyError("x")

    assert clock.callbacks.ask(clock.taking(0, error), GIVEN) is error
    assert isinstance(clock.callbacks.ask(clock.taking(0, GeneratorExit()), GIVEN), RuntimeError)


def test_what_ends_a_program_ends_it() -> None:
    """No batch keeps a Ctrl-C for itself."""
    clock = Clock()
    for call in (clock.callbacks.examine, clock.callbacks.ask):
        with pytest.raises(KeyboardInterrupt):
            call(clock.taking(0, KeyboardInterrupt()), GIVEN)


@pytest.mark.parametrize("answer", [None, ValueError()])
def test_the_time_of_a_long_call_counts_for_nobody(answer: Any) -> None:
    """Nor that of one that fails; a short one is not worth it."""
    clock = Clock()
    clock.callbacks.examine(clock.taking(LEAST / 2, answer), GIVEN)
    assert clock.taken_out == []
    begun = clock.now
    clock.callbacks.ask(clock.taking(2.0, answer), GIVEN)

    assert clock.taken_out == [(2.0, begun)]
