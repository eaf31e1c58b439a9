from __future__ import annotations

import math
from typing import Any

import pytest

from asyncbatch._values._errors import FailureKind
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._retry import Retry


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"attempts": 0}, ValueError, "at least 1, not 0; it counts the first try; for no retries"),
        ({"attempts": 2.0}, TypeError, "attempts must be an int, not 2.0"),
        ({"attempts": True}, TypeError, "not True"),
        ({"backoff": -1}, ValueError, "backoff must be 0 or more seconds, not -1"),
        ({"backoff": math.inf}, ValueError, "not inf"),
        ({"backoff": math.nan}, ValueError, "not nan"),
        ({"backoff_max": "8"}, TypeError, "backoff_max must be a number of seconds, not '8'"),
        (
            {"retry_after_max": -5},
            ValueError,
            "retry_after_max must be 0 or more seconds, not -5",
        ),
        ({"statuses": {200}}, ValueError, "400 to 599, not 200"),
        ({"statuses": 503}, TypeError, "such as {503}, not 503"),
        ({"statuses": {"503"}}, ValueError, "not '503'"),
        ({"methods": "GET"}, TypeError, "such as {'GET'}, not 'GET'"),
        ({"methods": {7}}, TypeError, "such as {'GET'}, not one with 7"),
        ({"methods": b"G"}, TypeError, "not one with 71"),
        ({"budget": -0.1}, ValueError, "not -0.1; None retries without a budget"),
        ({"budget": "all"}, TypeError, "a share such as 0.2, or None, not 'all'"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    """The message holds the value received and the cure."""
    with pytest.raises(error) as caught:
        Retry(**arguments)

    assert message in str(caught.value)


def test_sets_are_taken_from_any_iterable_and_methods_in_any_case() -> None:
    """What callers write most easily is understood."""
    retry = Retry(statuses=[503, 503], methods=("get", "post"))

    assert retry.statuses == frozenset({503})
    assert retry.methods == frozenset({"GET", "POST"})


@pytest.mark.parametrize(
    ("outcome", "get", "post"),
    [
        *(({"kind": "status", "status_code": code}, True, False) for code in (408, 425, 429)),
        *(({"kind": "status", "status_code": code}, True, False) for code in (500, 502, 503, 504)),
        *(({"kind": "status", "status_code": code}, False, False) for code in (400, 404, 413, 501)),
        ({"kind": "dns", "connect_failed": True}, True, True),
        ({"kind": "dns", "connect_failed": True, "permanent": True}, False, False),
        ({"kind": "connect", "connect_failed": True}, True, True),
        ({"kind": "connect"}, True, False),
        ({"kind": "tls", "connect_failed": True}, True, True),
        ({"kind": "tls", "connect_failed": True, "permanent": True}, False, False),
        ({"kind": "timeout", "connect_failed": True}, True, True),
        ({"kind": "timeout"}, True, False),
        ({"kind": "protocol"}, True, False),
        ({"kind": "truncated"}, True, False),
        ({"kind": "truncated", "status_code": 200}, True, False),
        ({"kind": "decode", "status_code": 200}, False, False),
        ({"kind": "redirect", "status_code": 302}, False, False),
        ({"kind": "too_large", "status_code": 200}, False, False),
        ({"kind": "blocked", "connect_failed": True}, False, False),
        ({"kind": "invalid_request"}, False, False),
        ({"kind": "host_down"}, False, False),
        ({"kind": "retry_after", "status_code": 429}, False, False),
        ({"kind": "not_started"}, False, False),
        ({"kind": None, "status_code": 200}, False, False),
    ],
)
def test_what_is_tried_again(outcome: dict[str, Any], get: bool, post: bool) -> None:
    """Passing failures are; a POST only if it cannot have reached the server."""
    kind = outcome.pop("kind")
    ended = Outcome(kind=None if kind is None else FailureKind(kind), **outcome)

    assert Retry().permits(ended, "GET") is get
    assert Retry().permits(ended, "POST") is post


def test_every_kind_of_failure_is_decided() -> None:
    """A new kind must be put on the side of those that pass or those that do not."""
    retried = {
        kind for kind in FailureKind if Retry().permits(Outcome(kind=kind, status_code=503), "GET")
    }

    assert retried == {
        "status",
        "dns",
        "connect",
        "tls",
        "timeout",
        "protocol",
        "truncated",
        "proxy",
    }


def test_the_back_off_doubles_up_to_its_maximum() -> None:
    """The bound of the n-th wait is backoff * 2 ** (n - 1)."""
    retry = Retry(backoff=0.5, backoff_max=3.0)

    assert [retry.backoff_delay(n, lambda: 1.0) for n in (1, 2, 3, 4, 5000)] == [0.5, 1, 2, 3, 3]


def test_the_back_off_is_drawn_evenly_from_nothing_to_its_bound() -> None:
    """Full jitter: what failed together does not come back together."""
    assert [Retry().backoff_delay(2, lambda at=at: at) for at in (0.0, 0.25)] == [0.0, 0.25]


def test_a_server_may_ask_for_a_wait_up_to_the_maximum() -> None:
    """The maximum itself is not too long."""
    retry = Retry(retry_after_max=60)

    assert not retry.asks_too_long(Outcome(retry_after=60.0))
    assert retry.asks_too_long(Outcome(retry_after=60.1))
    assert not retry.asks_too_long(Outcome())
