"""Whether a request of the chaos run ended as it had to, by what its servers remember."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import attrs
import httpx

from asyncbatch import DeadlineExceeded, HostPaused, Result, Retry, RetryAfterTooLong
from tests.behaviour.faults.menu import OK, Dish, content
from tests.behaviour.faults.world import Memory, Place

SLACK = 0.9
"""A time limit may pass early by a tick of the clock, never by more."""


@attrs.frozen
class Errand:
    """A request as it was sent off."""

    name: str
    place: Place
    method: str


@attrs.frozen(kw_only=True)
class Terms:
    """The limits that a batch ran under."""

    timeout: float
    connect_timeout: float
    deadline: float | None
    batch_timeout: float | None
    retry: Retry | None


@attrs.define
class Judge:
    """Compares results with what the servers remember, and counts how requests have ended."""

    memory: Memory
    stalled: Callable[[], bool]
    """Whether the event loop has stood still for too long to judge by time."""
    ended: Counter[str] = attrs.field(factory=Counter)
    wrong: list[str] = attrs.field(factory=list)
    """What must not have happened, in words."""

    def judge(self, errand: Errand, result: Result, terms: Terms) -> None:
        """Find out whether this result is one that the request may have."""
        served = self.memory.served[errand.name]
        self.ended[OK if result.ok else str(result.kind)] += 1
        why = (
            self._success(errand, result, served)
            if result.ok
            else self._failure(errand, result, served, terms)
        )
        why = why or self._repeated(errand, result, served, terms)
        if why is not None:
            names = [dish.name for dish in served]
            self.wrong.append(f"{errand.place.name} {errand.method}: {why}: {result!r} {names}")

    def _success(self, errand: Errand, result: Result, served: list[Dish]) -> str | None:
        if not served:
            return "an answer to what never arrived"
        answers = [
            content(errand.name, arrival)
            for arrival, dish in _last(served, result)
            if OK in dish.ends
        ]
        if result.content not in answers or result.status_code != 200:
            return f"not the answer to its last arrival: {result.content[:40]!r}"
        return None

    def _failure(
        self, errand: Errand, result: Result, served: list[Dish], terms: Terms
    ) -> str | None:
        assert not result.ok
        kind = str(result.kind)
        if served and not errand.place.answers:
            return "it arrived where nothing may"
        if kind == "not_started":
            explained = terms.batch_timeout is not None and not served
            return None if explained else "it might have started"
        if kind == "timeout":
            return self._timeout(errand, result, served, terms)
        if kind == "retry_after" and (option := _option_of(result.error)) != "retry_after_max":
            return None if getattr(terms, option) is not None else "there was no such limit"
        explaining = [dish for _, dish in _last(served, result) if kind in dish.ends]
        if explaining or kind in errand.place.unexplained:
            return self._status(result, explaining)
        if kind == "host_down" and self.stalled():
            # The connections that did not come about in time were the machine's doing.
            return None
        if kind == "protocol" and errand.method == "POST" and not served:
            # It met a kept connection that was just being closed, and may not be sent again.
            return None
        return "not a kind that explains itself"

    def _status(self, result: Result, explaining: list[Dish]) -> str | None:
        assert not result.ok
        if result.status_code not in (None, *(dish.status for dish in explaining)):
            return "another status"
        if isinstance(result.error, RetryAfterTooLong):
            return None if result.error.retry_after == 9999 else "another Retry-After"
        return None

    def _timeout(
        self, errand: Errand, result: Result, served: list[Dish], terms: Terms
    ) -> str | None:
        assert not result.ok
        if isinstance(result.error, DeadlineExceeded):
            limit = getattr(terms, result.error.option)
            return None if limit is not None else "there was no such limit"
        silent = bool(served) and "timeout" in served[-1].ends
        limit = min(terms.timeout, terms.connect_timeout)
        if result.elapsed < limit * SLACK:
            return "a limit that cannot have passed"
        # What is not silent may still have been slow, on a machine that is.
        slow = result.elapsed >= terms.timeout * SLACK
        expected = silent or slow or "timeout" in errand.place.unexplained
        return None if expected else "nothing was slow"

    def _repeated(
        self, errand: Errand, result: Result, served: list[Dish], terms: Terms
    ) -> str | None:
        """Look at how often it was sent, against how often it may be."""
        tries = 1 if terms.retry is None else terms.retry.attempts
        if result.attempts > tries:
            return "too many attempts"
        hops = sum(dish.name == "elsewhere" for dish in served)
        circles = sum(dish.name == "a circle" for dish in served)
        if self.memory.posts[errand.name] > 1 + self.memory.refused[errand.name]:
            return "a POST was repeated"
        # One silent repetition each, where a kept connection ended without a byte of an answer.
        if circles == 0 and len(served) - hops > 2 * result.attempts + hops:
            return "it arrived more often than it was sent"
        return None


def _last(served: list[Dish], result: Result) -> list[tuple[int, Dish]]:
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
