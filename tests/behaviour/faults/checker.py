"""Check that each request of the chaos run ended as it had to, by what its servers remember."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import attrs
import httpx

from asyncbatch import DeadlineExceeded, HostPaused, Result, Retry, RetryAfterTooLong
from tests.behaviour.faults.answers import OK, ScriptedAnswer, content
from tests.behaviour.faults.world import Memory, Place

SLACK = 0.9
"""A time limit may pass early by a tick of the clock, never by more."""


@attrs.frozen
class SentRequest:
    """A request as it was sent off."""

    name: str
    place: Place
    method: str


@attrs.frozen(kw_only=True)
class BatchLimits:
    """The limits that a batch ran under."""

    timeout: float
    connect_timeout: float
    deadline: float | None
    batch_timeout: float | None
    retry: Retry | None


@attrs.define
class ResultChecker:
    """Compares results with what the servers remember, and counts how requests have ended."""

    memory: Memory
    stalled: Callable[[], bool]
    """Whether the event loop has stood still for too long to judge by time."""
    ended: Counter[str] = attrs.field(factory=Counter)
    wrong: list[str] = attrs.field(factory=list)
    """What must not have happened, in words."""

    def check(self, sent: SentRequest, result: Result, limits: BatchLimits) -> None:
        """Find out whether this result is one that the request may have."""
        served = self.memory.served[sent.name]
        self.ended[OK if result.ok else str(result.kind)] += 1
        why = (
            self._success(sent, result, served)
            if result.ok
            else self._failure(sent, result, served, limits)
        )
        why = why or self._repeated(sent, result, served, limits)
        if why is not None:
            names = [scripted.name for scripted in served]
            self.wrong.append(f"{sent.place.name} {sent.method}: {why}: {result!r} {names}")

    def _success(
        self, sent: SentRequest, result: Result, served: list[ScriptedAnswer]
    ) -> str | None:
        if not served:
            return "an answer to what never arrived"
        answers = [
            content(sent.name, arrival)
            for arrival, scripted in _last(served, result)
            if OK in scripted.ends
        ]
        if result.content not in answers or result.status_code != 200:
            return f"not the answer to its last arrival: {result.content[:40]!r}"
        return None

    def _failure(
        self, sent: SentRequest, result: Result, served: list[ScriptedAnswer], limits: BatchLimits
    ) -> str | None:
        assert not result.ok
        kind = str(result.kind)
        if served and not sent.place.answers:
            return "it arrived where nothing may"
        if kind == "not_started":
            explained = limits.batch_timeout is not None and not served
            return None if explained else "it might have started"
        if kind == "timeout":
            return self._timeout(sent, result, served, limits)
        if kind == "retry_after" and (option := _option_of(result.error)) != "retry_after_max":
            return None if getattr(limits, option) is not None else "there was no such limit"
        explaining = [scripted for _, scripted in _last(served, result) if kind in scripted.ends]
        if explaining or kind in sent.place.unexplained:
            return self._status(result, explaining)
        if kind == "host_down" and self.stalled():
            # The connections that did not come about in time were the machine's doing.
            return None
        if kind == "protocol" and sent.method == "POST" and not served:
            # It met a kept connection that was just being closed, and may not be sent again.
            return None
        return "not a kind that explains itself"

    def _status(self, result: Result, explaining: list[ScriptedAnswer]) -> str | None:
        assert not result.ok
        if result.status_code not in (None, *(scripted.status for scripted in explaining)):
            return "another status"
        if isinstance(result.error, RetryAfterTooLong):
            return None if result.error.retry_after == 9999 else "another Retry-After"
        return None

    def _timeout(
        self, sent: SentRequest, result: Result, served: list[ScriptedAnswer], limits: BatchLimits
    ) -> str | None:
        assert not result.ok
        if isinstance(result.error, DeadlineExceeded):
            limit = getattr(limits, result.error.option)
            return None if limit is not None else "there was no such limit"
        silent = bool(served) and "timeout" in served[-1].ends
        limit = min(limits.timeout, limits.connect_timeout)
        if result.elapsed < limit * SLACK:
            return "a limit that cannot have passed"
        # What is not silent may still have been slow, on a machine that is.
        slow = result.elapsed >= limits.timeout * SLACK
        expected = silent or slow or "timeout" in sent.place.unexplained
        return None if expected else "nothing was slow"

    def _repeated(
        self, sent: SentRequest, result: Result, served: list[ScriptedAnswer], limits: BatchLimits
    ) -> str | None:
        """Look at how often it was sent, against how often it may be."""
        tries = 1 if limits.retry is None else limits.retry.attempts
        if result.attempts > tries:
            return "too many attempts"
        hops = sum(scripted.name == "elsewhere" for scripted in served)
        circles = sum(scripted.name == "a circle" for scripted in served)
        if self.memory.posts[sent.name] > 1 + self.memory.refused[sent.name]:
            return "a POST was repeated"
        # One silent repetition each, where a kept connection ended without a byte of an answer.
        if circles == 0 and len(served) - hops > 2 * result.attempts + hops:
            return "it arrived more often than it was sent"
        return None


def _last(served: list[ScriptedAnswer], result: Result) -> list[tuple[int, ScriptedAnswer]]:
    """
    Return the arrivals that the last attempt may have been, with their numbers.

    The very last one; but what an attempt has sent that timed out, a server that is slow itself may
    read behind what the next attempt sends.
    """
    arrivals = [*enumerate(served, start=1)]
    timed_out = any(isinstance(each.error, httpx.TimeoutException) for each in result.history)
    return arrivals if timed_out else arrivals[-1:]


def _option_of(error: Exception) -> str:
    """Name the option that has ended a wait which a server asked for."""
    if isinstance(error, HostPaused):
        return "deadline"
    assert isinstance(error, RetryAfterTooLong)
    return error.option
