"""
Results made by hand: as a batch would give them, and refused where it never would.
"""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from asyncbatch import Failure, FailureKind, Results, Success, Timing
from asyncbatch.testing import failure, success


def test_a_success_is_what_it_was_made_of() -> None:
    """With its response, its request and the rest."""
    made = success(
        "https://example.org/1",
        status_code=201,
        json={"a": 1},
        headers={"x-a": "b"},
        tag="t",
        index=3,
        started=datetime(2026, 11, 29, tzinfo=UTC),
        elapsed=1.5,
        attempts=2,
        timing=Timing(queued=0.5, wait=1.0),
    )

    assert isinstance(made, Success)
    assert (made.ok, made.kind, made.error) == (True, None, None)
    assert (made.status_code, made.json(), made.headers["x-a"]) == (201, {"a": 1}, "b")
    assert (made.request.tag, made.index, made.elapsed, made.attempts) == ("t", 3, 1.5, 2)
    assert made.timing == Timing(queued=0.5, wait=1.0)
    assert made.started == datetime(2026, 11, 29, tzinfo=UTC)
    assert success().started is None
    assert made.url == made.response.request.url == httpx.URL("https://example.org/1")
    assert repr(made) == "<Success 3: 201 https://example.org/1 in 1.500 s>"
    assert success().content == b""
    assert success(text="\xe9").text == "\xe9"
    assert success(content=b"x").content == b"x"


@pytest.mark.parametrize("kind", FailureKind)
def test_a_failure_can_be_made_of_each_kind(kind: FailureKind) -> None:
    """With an error as a batch gives it, named as the kind is or by its name."""
    made = failure("https://example.org/", kind=str(kind))

    assert isinstance(made, Failure)
    assert made.kind is kind
    assert isinstance(made.error, Exception)
    assert (made.response is not None) is (kind in ("status", "retry_after"))
    assert made.attempts == (0 if kind in ("host_down", "invalid_request", "not_started") else 1)
    assert repr(pickle.loads(pickle.dumps(made))) == repr(made)
    with pytest.raises(type(made.error)):
        made.unwrap()


def test_a_failed_status_has_its_response_and_httpxs_error() -> None:
    """As in a batch."""
    made = failure(kind="status", status_code=404, text="gone", headers={"x-a": "b"})

    assert (made.status_code, made.text, made.headers["x-a"]) == (404, "gone", "b")
    assert isinstance(made.error, httpx.HTTPStatusError)
    assert made.error.response is made.response
    assert failure(kind="status").status_code == 500
    assert (failure(kind="status").attempts, failure(kind="status", attempts=3).attempts) == (1, 3)


def test_an_error_of_the_callers_is_taken() -> None:
    """In place of the kind's own."""
    error = httpx.ReadTimeout("late")

    assert failure(kind="timeout", error=error).error is error


def test_what_is_no_url_makes_a_failure_without_one() -> None:
    """As in a batch."""
    assert failure("http://", kind="invalid_request").url is None


def test_results_made_by_hand_make_a_batch() -> None:
    """For what takes all of them."""
    results = Results([success(index=0), failure(index=1)], duration=1.0)

    assert (results.summary().succeeded, results.summary().failed) == (1, 1)
    assert list(results.by_host()) == ["example.org"]


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [
        (
            success,
            {"status_code": 404},
            ValueError,
            "from 200 to 399, not 404; use testing.failure",
        ),
        (success, {"text": "a", "json": 1}, TypeError, "give one body, not text and json"),
        (success, {"elapsed": -1}, ValueError, "elapsed must be 0 or more, not -1"),
        (success, {"index": -1}, ValueError, "index must be 0 or more, not -1"),
        (failure, {"kind": "slow"}, ValueError, "kind must be one of status, .* not 'slow'"),
        (failure, {"kind": "dns", "status_code": 500}, ValueError, "has no response"),
        (failure, {"kind": "status", "status_code": 200}, ValueError, "from 400 to 599, not 200"),
        (failure, {"kind": "dns", "error": "no"}, TypeError, "error must be an exception"),
    ],
)
def test_what_no_batch_would_give_is_refused(
    make: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    """With the value and the cure."""
    with pytest.raises(error, match=message):
        make(**options)
