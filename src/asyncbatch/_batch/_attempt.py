"""
One try of one request: its time limit, its lane, and the judgement of the response.

Knows nothing of hosts, retries or the batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import attrs

from asyncbatch._batch._make_result import built
from asyncbatch._batch._proxies import Proxies
from asyncbatch._files import AT_ONCE, IDENTITY, Download
from asyncbatch._lanes import (
    Binding,
    Encoded,
    Lane,
    NewFileRelay,
    Relay,
    callers_error,
    field_of,
    sink_outcome,
)
from asyncbatch._policies._proxy_pool import Full
from asyncbatch._policies._retry_after import parse_retry_after
from asyncbatch._runtime._event_loop import Clock
from asyncbatch._values._errors import DeadlineExceeded, FailureKind, ProxyError
from asyncbatch._values._host_key import host_key_of
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._proxy import Proxy
from asyncbatch._values._request import UNSET, Request, Unset
from asyncbatch._values._sink import SinkFailure
from asyncbatch._values._telemetry import AttemptWatch
from asyncbatch._values._timeouts import TimeLimits, for_files, limits_of
from asyncbatch._values._tries import take_sources, with_headers

# Statuses that ask for credentials, or redirect the request unchanged: nothing was carried out.
_ACTED_NOT = frozenset({307, 308, 401, 407})

LEAST_TO_ANSWER = 1.0
"""
Least seconds of an unanswered attempt, cut off by a deadline, that count against its host.

In less time, a single lost packet explains the silence (RFC 6298 §2: a lost first packet is sent
again after a second).
"""


@attrs.frozen
class Attempter:
    """Makes the tries of a fetcher."""

    lane: Lane
    limits: TimeLimits
    """The limits of a request that has none of its own."""
    max_file: int | None = None
    """Most bytes of a body that goes to a file, for a request without a `max_body` of its own."""
    proxies: Proxies | None = None
    """The proxies of which each attempt takes one; `None`: the client's way is taken."""

    def file_relays(self) -> NewFileRelay | None:
        """Return what makes relays for bodies that go to files, if the lane has any."""
        longest, own = AT_ONCE, self.limits.max_body
        most = self.max_file if isinstance(own, Unset) else own
        if most is not None:
            longest = min(longest, most)
        return self.lane.file_relays(for_files(self.limits), longest)

    async def run(
        self,
        item: object,
        *,
        deadline_at: float | None,
        clock: Clock,
        allowed: float | None = None,
        limits: TimeLimits | None = None,
        encoded: Encoded | Unset | None = UNSET,
        download: Download | None = None,
        sink: Download | None = None,
        watch: AttemptWatch | None = None,
    ) -> Outcome:
        """
        Try `item` once and return its outcome; only cancellation is raised.

        Args:
            item: The request, in any form.
            deadline_at: When the request must have ended, on `clock`.
            clock: The batch's clock.
            limits: The limits of its host; `None`: those of the fetcher.
            allowed: Seconds from its first start to `deadline_at`, for the message.
            encoded: The request as encoded by the lane, if it was encoded already.
            download: Its file, if its body goes to one.
            sink: The same file, once it is open.
            watch: Is told of each request that is sent.
        """
        if download is not None:
            return await self._download(item, download, deadline_at, clock, allowed, limits, watch)
        proxies = self.proxies
        if proxies is None or not _takes_proxy(item):
            return await self._run(item, deadline_at, clock, allowed, limits, encoded, sink, watch)
        began = clock()
        try:
            host = host_key_of(item, self.lane.locate)[1]
            proxy = proxies.acquire_nowait(item, host, began)
            if isinstance(proxy, Full):
                left = math.inf if deadline_at is None else deadline_at - began
                with anyio.move_on_after(left):
                    proxy = await proxies.acquire(item, host, clock)
        except Exception as error:  # of the pool's `key`
            failed = Outcome(kind=FailureKind.callback, error=callers_error(error))
            failed.started_at = began
            return failed
        now = clock()
        if isinstance(proxy, Full):
            outcome = Outcome(kind=FailureKind.timeout, of_proxy=True)
            outcome.error = self._deadline_error(outcome, allowed or 0.0)
        elif proxy is None:
            outcome = proxies.none_left(self.lane.binding, now)
        else:
            try:
                outcome = await self._run(
                    item, deadline_at, clock, allowed, limits, encoded, sink, watch, proxy
                )
            except BaseException:
                proxies.release(proxy)
                raise
            proxies.settle(proxy, outcome, clock())
        outcome.queued += now - began
        outcome.started_at = outcome.started_at or began
        return outcome

    async def _run(
        self,
        item: object,
        deadline_at: float | None,
        clock: Clock,
        allowed: float | None,
        limits: TimeLimits | None,
        encoded: Encoded | Unset | None,
        sink: Download | None,
        watch: AttemptWatch | None,
        route: Proxy | Unset | None = UNSET,
    ) -> Outcome:
        started_at = clock()
        try:
            limits = _limits_of(item, self.limits if limits is None else limits)
        except (TypeError, ValueError) as error:
            return Outcome(kind=FailureKind.invalid_request, error=error, started_at=started_at)
        if sink is not None:
            own = limits.max_body
            sink.set_max_body(self.max_file if isinstance(own, Unset) else own)
            limits = for_files(limits)
        left = None if deadline_at is None else deadline_at - started_at
        seconds = _shorter(limits.total, left)
        if isinstance(encoded, Unset):
            encoded = self.lane.encode(item, limits)
        outcome = await self.lane.exchange(
            item, encoded, limits, seconds, clock, left, route, sink, watch
        )
        if left is not None and seconds != limits.total:
            self._blame_deadline(outcome, left, allowed)
        return _judged(outcome, started_at, self.lane.binding)

    async def _download(
        self,
        item: object,
        download: Download,
        deadline_at: float | None,
        clock: Clock,
        allowed: float | None,
        limits: TimeLimits | None,
        watch: AttemptWatch | None,
    ) -> Outcome:
        """Try a request once whose body goes to a file; the file is closed afterwards."""
        started_at = clock()
        request = download.request
        try:
            found = await download.begin_try()
            if found is not None:
                return Outcome(saved=found, started_at=started_at)
            headers = download.headers()
            tried = with_headers(request, headers)
            encoded: Encoded | Unset = UNSET
            if type(item) is str and headers is IDENTITY:
                encoded = self.lane.encode_for_file(item, tried, self.limits) or UNSET
            outcome = await self.run(
                tried,
                deadline_at=deadline_at,
                clock=clock,
                allowed=allowed,
                limits=limits,
                encoded=encoded,
                sink=download,
                watch=watch,
            )
            take_sources(request, tried)
            if download.is_held and outcome.kind is None:
                outcome = await self._examine(tried, download, outcome)
        except SinkFailure as failure:
            outcome = sink_outcome(failure, None, self.lane.binding)
            outcome.started_at = started_at
        finally:
            await download.end_try()
        return outcome

    async def _examine(self, item: object, download: Download, outcome: Outcome) -> Outcome:
        """Call `check` with a response whose body is in a part, and complete or remove that."""
        assert download.examine is not None
        assert outcome.saved is not None
        response = built(item, outcome)
        response.extensions["path"] = outcome.saved.path
        error = download.examine(response)
        try:
            if error is None:
                outcome.saved = await download.complete()
                response.extensions["path"] = outcome.saved.path
                return outcome
            await download.refuse()
        except SinkFailure as failure:
            failed = sink_outcome(failure, response.request, self.lane.binding)
            failed.timing, failed.url = outcome.timing, response.url
            failed.started_at = outcome.started_at
            return failed
        outcome.kind, outcome.error, outcome.saved = (
            FailureKind.callback,
            callers_error(error),
            None,
        )
        return outcome

    async def conclude(
        self,
        relay: Relay,
        deadline_at: float | None,
        allowed: float | None,
        watch: AttemptWatch | None = None,
    ) -> Outcome:
        """
        Return the outcome of the try at which `relay` has stopped.

        Args:
            relay: It.
            deadline_at: When the request had to have ended.
            allowed: Seconds from its first start to `deadline_at`, for the message.
            watch: Is told of the attempt.
        """
        started_at = relay.begun_at
        left = None if deadline_at is None else deadline_at - started_at
        seconds = _shorter(self.limits.total, left)
        outcome = await relay.conclude(seconds, watch)
        if left is not None and seconds != self.limits.total:
            self._blame_deadline(outcome, left, allowed)
        return _judged(outcome, started_at, self.lane.binding)

    async def conclude_file(
        self,
        download: Download,
        conclude: Callable[[Request, float | None, Download], Awaitable[Outcome]],
        started_at: float,
        deadline_at: float | None,
        allowed: float | None,
    ) -> Outcome:
        """
        Return the outcome of a try that a file relay has begun; the file is closed afterwards.

        Args:
            download: The file.
            conclude: Returns the outcome, given the request that was sent, the limit on the
                attempt, and the sink of its body.
            started_at: When it was begun.
            deadline_at: When the request had to have ended.
            allowed: Seconds from its first start to `deadline_at`, for the message.
        """
        left = None if deadline_at is None else deadline_at - started_at
        total = for_files(self.limits).total
        seconds = _shorter(total, left)
        own = self.limits.max_body
        download.set_max_body(self.max_file if isinstance(own, Unset) else own)
        try:
            download.forget_whole()
            tried = with_headers(download.request, IDENTITY)
            outcome = await conclude(tried, seconds, download)
        finally:
            await download.end_try()
        if left is not None and seconds != total:
            self._blame_deadline(outcome, left, allowed)
        return _judged(outcome, started_at, self.lane.binding)

    def _blame_deadline(self, outcome: Outcome, left: float, allowed: float | None) -> None:
        """Say of an attempt that was cut off, `left` seconds after its start, that this was why."""
        if not outcome.cut:
            return
        outcome.error = self._deadline_error(outcome, allowed or 0.0)
        # An attempt with so little time says nothing about its host.
        if left < LEAST_TO_ANSWER:
            outcome.target_silent = False
            if outcome.is_silent:
                outcome.connect_failed, outcome.heard = False, None

    def _deadline_error(self, outcome: Outcome, allowed: float) -> Exception:
        error_type = self.lane.binding.error(DeadlineExceeded)
        request = getattr(outcome.error, "_request", None)
        return error_type("deadline", allowed, request=request)


def _shorter(total: float | None, left: float | None) -> float | None:
    """Return the limit of an attempt: its own, or what is left until its request's deadline."""
    if left is None or (total is not None and total <= left):
        return total
    return left


def _takes_proxy(item: object) -> bool:
    """Whether a request goes by the fetcher's proxies, and names none itself."""
    return not isinstance(item, Request) or item.proxy is UNSET


def has_own_limits(item: object) -> bool:
    """Whether a request has a time limit, a `max_body` or a file of its own."""
    return isinstance(item, Request) and not (
        item.timeout is UNSET
        and item.deadline is UNSET
        and item.max_body is UNSET
        and item.to is UNSET
        and item.checksum is None
    )


def _limits_of(item: object, limits: TimeLimits) -> TimeLimits:
    """Return `limits` with the limits that the request sets itself."""
    if not isinstance(item, Request):
        return limits
    if not isinstance(item.timeout, Unset):
        limits = attrs.evolve(limits_of(item.timeout, limits.connect), max_body=limits.max_body)
    if not isinstance(item.max_body, Unset):
        limits = attrs.evolve(limits, max_body=item.max_body)
    return limits


def _judged(outcome: Outcome, started_at: float, binding: Binding) -> Outcome:
    """Return the outcome, as a failure if its status is 400 or above."""
    outcome.started_at = started_at
    response = outcome.response
    if response is None or outcome.kind is not None or response.status_code < 400:
        return outcome
    if outcome.saved is not None:
        return outcome  # a 416: all of the file was there
    if response.status_code == 407 and outcome.forwarded_by is not None:
        return _refused_by_proxy(outcome, binding)
    outcome.kind = FailureKind.status
    value = field_of(response, "retry-after")
    if value is not None:
        outcome.retry_after = parse_retry_after(
            value,
            wall_now=time.time(),
            date=field_of(response, "date"),
            age=field_of(response, "age"),
        )
    status = response.status_code
    is_refused = status == 429 or (status == 503 and outcome.retry_after is not None)
    outcome.undone = is_refused and not _has_acted(response)
    return outcome


def _refused_by_proxy(outcome: Outcome, binding: Binding) -> Outcome:
    """Say of a 407 that it is no answer of the host's, and that asking again is of no use."""
    proxy = outcome.forwarded_by
    outcome.kind = FailureKind.proxy
    outcome.error = binding.error(ProxyError)(
        f"the proxy {proxy}: it answers 407, and wants other credentials",
        proxy=proxy,
        status_code=407,
    )
    outcome.status_code = None
    outcome.of_proxy = outcome.permanent = True
    return outcome


def _has_acted(response: Any) -> bool:
    """Whether a server may have carried the request out before it redirected it."""
    earlier = getattr(response, "history", ())
    return any(each.status_code not in _ACTED_NOT for each in earlier)
