"""From the options on time to the limits of one attempt."""

from __future__ import annotations

import math
from typing import Any

import httpx
import pytest

from asyncbatch._values._timeouts import (
    TimeLimits,
    check_seconds,
    limits_of,
    limits_of_client,
)


def test_a_number_limits_the_attempt_and_leaves_the_phases_alone() -> None:
    """But for connecting, which has an option of its own."""
    assert limits_of(30, 10) == TimeLimits(total=30, connect=10)


def test_an_httpx_timeout_limits_the_phases_and_the_attempt_by_the_longest() -> None:
    """The option for connecting gives way."""
    limits = limits_of(httpx.Timeout(5, read=20, connect=2), 10)

    assert limits == TimeLimits(total=20, connect=2, read=20, write=5, pool=5)


def test_a_phase_without_a_limit_leaves_the_attempt_without_one() -> None:
    """The longest is endless."""
    assert limits_of(httpx.Timeout(5, read=None), 10).total is None


def test_no_limit_is_none() -> None:
    """In both options."""
    assert limits_of(None, None) == TimeLimits(total=None, connect=None)


def test_a_clients_phases_stand_and_the_attempt_has_at_least_the_default() -> None:
    """Five seconds for each read is no limit on a long body."""
    limits = limits_of_client(httpx.Timeout(5))

    assert limits == TimeLimits(total=30, connect=5, read=5, write=5, pool=5)
    assert limits_of_client(httpx.Timeout(60)).total == 60
    assert limits_of_client(httpx.Timeout(None)).total is None


@pytest.mark.parametrize("seconds", [0, -1, math.nan])
def test_a_time_not_above_zero_is_refused(seconds: float) -> None:
    """With the value and the cure."""
    with pytest.raises(ValueError, match="timeout must be above 0 seconds"):
        check_seconds("timeout", seconds)


@pytest.mark.parametrize("seconds", ["1", True, [1]])
def test_what_is_no_number_is_refused(seconds: Any) -> None:
    """A bool included."""
    with pytest.raises(TypeError, match="timeout must be a number"):
        check_seconds("timeout", seconds)


def test_a_number_that_no_float_holds_is_refused() -> None:
    """An `OverflowError` would end the batch of the request that has it."""
    with pytest.raises(ValueError, match="timeout is too large for a float"):
        check_seconds("timeout", 10**400)
