"""What is asked of the engine, by the time limits of a request."""

from __future__ import annotations

import pytest

from asyncbatch._engine.http11 import NO_LIMIT
from asyncbatch._lanes._exchange_limits import ExchangeLimitsCache
from asyncbatch._values._timeouts import TimeLimits

LIMITS = TimeLimits(total=30, connect=10, read=3, write=2, pool=1)


def terms_by_limits(
    max_body: int | None = 1_000, *, follow_redirects: bool = True
) -> ExchangeLimitsCache:
    return ExchangeLimitsCache(
        max_body=max_body, follow_redirects=follow_redirects, minimum_rate=50.0
    )


def test_each_limit_is_asked_for() -> None:
    """Those of the request, and those of the lane."""
    terms = terms_by_limits().of(LIMITS)

    timeouts = (terms.connect_timeout, terms.read_timeout, terms.write_timeout, terms.pool_timeout)
    assert timeouts == (10, 3, 2, 1)
    assert terms.max_body == 1_000
    assert terms.minimum_rate == 50.0


@pytest.mark.parametrize("name", ["of", "streamed"])
def test_equal_limits_have_the_same_terms(name: str) -> None:
    """They are made once, and again when there were too many in between."""
    terms_of = getattr(terms_by_limits(), name)
    first = terms_of(LIMITS)

    assert terms_of(TimeLimits(total=30, connect=10, read=3, write=2, pool=1)) is first
    for seconds in range(1, 200):
        terms_of(TimeLimits(total=30, connect=seconds))
    assert terms_of(LIMITS) is not first
    assert terms_of(LIMITS) == first


@pytest.mark.parametrize("lane_follows", [True, False])
@pytest.mark.parametrize("request_follows", [True, False, None])
def test_the_own_body_of_a_redirect_is_limited_where_it_is_followed(
    lane_follows: bool, request_follows: bool | None
) -> None:
    """What a request says about redirects goes before what its lane says, for it alone."""
    lane = terms_by_limits(follow_redirects=lane_follows)
    follows = lane_follows if request_follows is None else request_follows

    terms = lane.of(LIMITS, request_follows)

    assert (terms.max_redirect_body is not None) is follows
    assert (lane.of(LIMITS).max_redirect_body is not None) is lane_follows


def test_the_own_body_of_a_redirect_is_short() -> None:
    """Whatever other bodies may have."""
    unlimited = terms_by_limits(None).of(LIMITS)

    assert unlimited.max_body == NO_LIMIT
    assert unlimited.max_redirect_body is not None
    assert unlimited.max_redirect_body < 70_000
