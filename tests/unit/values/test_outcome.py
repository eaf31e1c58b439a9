"""What an outcome says of the server."""

from __future__ import annotations

import pytest

from asyncbatch._values._errors import FailureKind
from asyncbatch._values._outcome import Outcome


@pytest.mark.parametrize(
    ("outcome", "is_answer", "is_silent"),
    [
        (Outcome(status_code=200), True, False),
        (Outcome(status_code=503, kind=FailureKind.status), True, False),
        (Outcome(kind=FailureKind.truncated, heard=True), True, False),
        (Outcome(kind=FailureKind.timeout, heard=False), False, True),
        (Outcome(kind=FailureKind.connect, connect_failed=True), False, True),
        (Outcome(kind=FailureKind.callback), False, False),
        (Outcome(kind=FailureKind.timeout, local=True), False, False),
    ],
    ids=["success", "refusal", "broken off", "silence", "no connection", "callback", "local"],
)
def test_an_outcome_is_an_answer_or_silence_or_neither(
    outcome: Outcome, is_answer: bool, is_silent: bool
) -> None:
    """A status or a byte is an answer; what the server has nothing to do with is neither."""
    assert (outcome.is_answer, outcome.is_silent) == (is_answer, is_silent)


def test_the_silence_behind_a_redirect_is_that_of_the_target() -> None:
    """With its kind and its time; the host that led there has answered."""
    outcome = Outcome(
        kind=FailureKind.dns, heard=True, target_silent=True, permanent=True, started_at=7.0
    )
    target = outcome.of_target()

    assert target.is_silent
    assert not target.is_answer
    assert (target.kind, target.permanent, target.started_at) == (FailureKind.dns, True, 7.0)
    assert not target.target_silent
