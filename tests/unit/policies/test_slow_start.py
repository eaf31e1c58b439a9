"""How many requests a host that opens slowly lets in."""

from __future__ import annotations

import math

import pytest

from asyncbatch._policies._slow_start import FIRST, WIDENING_SECONDS, SlowStart


def test_each_answer_makes_room_for_one_more() -> None:
    """So that the width doubles with each round."""
    opening = SlowStart(1, has_answered=True)
    for width in (2, 4, 8):
        for _ in range(width // 2):
            opening.answered(0.0)

        assert opening.limit == opening.width == width


@pytest.mark.parametrize(("width", "after"), [(1, FIRST), (FIRST - 1, FIRST), (20, 21)])
def test_the_first_answer_makes_room_for_ten(width: float, after: float) -> None:
    """A host that has answered once is as good as one at its first requests."""
    opening = SlowStart(width)
    opening.answered(0.0)

    assert opening.has_answered
    assert opening.width == after


def test_the_width_doubles_when_it_has_been_used_up_for_a_second() -> None:
    """Neither earlier nor while there is room."""
    opening = SlowStart(4, has_answered=True)
    opening.started(object(), 1.0)

    opening.on_time(1.0 + WIDENING_SECONDS - 0.01, 4)
    opening.on_time(1.0 + WIDENING_SECONDS, 3)
    assert opening.width == 4
    opening.on_time(1.0 + WIDENING_SECONDS, 4)
    assert opening.width == 8
    assert opening.widens_at == 1.0 + 2 * WIDENING_SECONDS


def test_a_host_that_has_not_answered_widens_to_ten_at_most() -> None:
    """Then it has no time any more at which it would."""
    opening = SlowStart(6)
    opening.started(object(), 0.0)
    opening.on_time(WIDENING_SECONDS, 6)

    assert opening.width == FIRST
    assert opening.widens_at == math.inf


def test_a_host_that_begins_with_ten_never_widens_without_an_answer() -> None:
    """It takes its first answer."""
    opening = SlowStart(FIRST)
    opening.started(object(), 0.0)
    assert opening.widens_at == math.inf

    opening.answered(5.0)
    assert opening.widens_at == 5.0 + WIDENING_SECONDS


def test_requests_from_before_take_nothing_of_the_width() -> None:
    """As they end, the limit falls with them, until only those let in since are left."""
    opening, before, since = SlowStart(1, before=2), [object(), object()], object()
    assert opening.limit == 3

    opening.started(since, 0.0)
    opening.ended(before[0])
    assert opening.limit == 2
    opening.ended(since)
    assert opening.limit == 2
    opening.ended(before[1])

    assert opening.limit == 1
    opening.ended(object())
    assert opening.limit == 1


@pytest.mark.parametrize(
    ("width", "in_flight", "is_waited_for", "final"),
    [
        (100, 100, True, math.inf),
        (20, 5, False, 20),
        (20, 20, False, None),
        (20, 5, True, None),
        (1, 0, False, None),
    ],
)
def test_slow_start_ends_at_the_full_width_or_when_there_is_room_to_spare(
    width: float, in_flight: int, is_waited_for: bool, final: float | None
) -> None:
    """Not before an answer, nor while requests from before are in flight."""
    silent, opening = SlowStart(width), SlowStart(width, has_answered=True)
    mixed = SlowStart(width, before=1, has_answered=True)

    assert silent.final_width(100, in_flight, is_waited_for=is_waited_for) is None
    assert opening.final_width(100, in_flight, is_waited_for=is_waited_for) == final
    assert mixed.final_width(100, in_flight, is_waited_for=is_waited_for) == (
        math.inf if width == 100 else None
    )
