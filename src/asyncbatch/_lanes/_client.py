"""
The client lane: attempts through `client.send`, on any `AsyncClient`.

Every feature of httpx works here, at httpx's cost. Redirects are followed hop by hop, so that
limits hold on each hop; httpx's own logic (`response.next_request`) decides where they lead, and
which headers and cookies they carry. Authentication flows run around the hops, as in httpx.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import attrs

from asyncbatch._engine import Engine, Exchange
from asyncbatch._lanes._file_relay import NewFileRelay
from asyncbatch._lanes._relay import Relays
from asyncbatch._lanes.client._attempt import ClientAttempt, Resumed, Rules
from asyncbatch._lanes.client._binding import Binding
from asyncbatch._lanes.client._hop import Hops
from asyncbatch._lanes.client._httpcore_pool import Admission, admission_of, release_leaked
from asyncbatch._lanes.client._own_client import OwnClient
from asyncbatch._lanes.client._plain_requests import PlainRequests
from asyncbatch._lanes.client._routes import engines_of
from asyncbatch._lanes.client._short_send import ShortSend
from asyncbatch._lanes.request._encoded_request import Encoded, Plain
from asyncbatch._lanes.request._sendable import (
    check_text,
    check_url,
)
from asyncbatch._lanes.response._body import ClientBodyReader
from asyncbatch._lanes.response._phases import PhaseTrace
from asyncbatch._runtime._event_loop import Clock, is_virtual, running_loop
from asyncbatch._runtime._stalls import Stalls, TimedSteps, TimeLimit
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._proxy import Proxy, proxy_of
from asyncbatch._values._redaction import shown
from asyncbatch._values._request import (
    UNSET,
    Request,
    Unset,
    is_request,
    native_of,
)
from asyncbatch._values._sink import Sink
from asyncbatch._values._telemetry import AttemptWatch
from asyncbatch._values._timeouts import TimeLimits, shorter

_MAY_LOSE_COUNT = (FailureKind.timeout, FailureKind.protocol)
"""Failures after which an HTTP/2 connection may count more streams than it has."""


class ClientLane:
    """Carries out attempts on one client."""

    def __init__(
        self,
        client: Any,
        binding: Binding,
        *,
        max_body: int | None,
        follow_redirects: bool,
        max_redirects: int,
        minimum_rate: float | None = None,
    ) -> None:
        self._client = client
        self.binding = binding
        self.rules = Rules(max_body, follow_redirects, max_redirects, minimum_rate)
        self._short = ShortSend(client, binding.library)
        self._plain_requests = PlainRequests(client, binding.library)
        self._stalls = Stalls()
        # The phases of attempts in progress, by their limits.
        self._under_way: dict[TimeLimit, PhaseTrace] = {}
        # Set by each batch, since the client's transports may change before it.
        self._admission: Admission | None = None
        self._reader: ClientBodyReader | None = None
        self.is_prepared = False
        """Whether `begin_batch` was called; if not, the first exchange calls it."""
        # The engines of the client's transports, unless the direct lane handles them.
        self._engines: list[Engine] = []
        self._loop: Any = None
        self._is_virtual = False

    @property
    def default_encoding(self) -> Any:
        """The encoding of texts whose response names none, or the function that finds it."""
        return self._client._default_encoding

    def take_part_in(self, stalls: Stalls) -> None:
        """Register with `stalls`, to subtract blocked time of the event loop from measurements."""
        self._stalls = stalls
        stalls.join(self.take_out)

    def take_out(self, seconds: float, before: float) -> None:
        """Subtract time in which the event loop was blocked from attempts in progress."""
        for limit, trace in self._under_way.items():
            limit.extend(seconds)
            trace.take_out(seconds, before)
        for engine in self._engines:
            engine.take_out(seconds, before)

    def tell_of_errors(self, on_error: Callable[[BaseException], bool]) -> None:
        """Do nothing: tasks of its client send the requests."""

    def begin_batch(self, clock: Clock) -> None:
        """Prepare for a batch whose exchanges use `clock`."""
        self.is_prepared = True
        self._admission = admission_of(self._client)
        self._engines = [] if type(self._client) is OwnClient else engines_of(self._client)
        self._reader = ClientBodyReader(self.binding, self.rules.minimum_rate)
        self._loop = running_loop()
        self._is_virtual = is_virtual(self._loop)

    def relays(self, limits: TimeLimits) -> Relays | None:
        """Return what makes relays for encoded requests; this lane has none."""
        return None

    def file_relays(self, limits: TimeLimits, longest: int) -> NewFileRelay | None:
        """Return what makes file relays; this lane has none."""
        return None

    def close(self) -> None:
        """Do nothing: this lane keeps nothing for further batches."""

    def encode(self, item: Any, limits: TimeLimits) -> Encoded | None:
        """Return `None`: the client sends `item`."""
        return None

    def encode_for_file(self, url: str, tried: Request | str, limits: TimeLimits) -> Plain | None:
        """Return `None`: the client sends the request."""
        return None

    async def exchange(
        self,
        item: object,
        encoded: Encoded | None,
        limits: TimeLimits,
        seconds: float | None,
        clock: Clock,
        left: float | None = None,
        route: Proxy | Unset | None = UNSET,
        sink: Sink | None = None,
        watch: AttemptWatch | None = None,
        *,
        first: Exchange | None = None,
        resumed: Resumed | None = None,
        spent: float = 0.0,
    ) -> Outcome:
        """
        Send `item` and return the outcome, within `seconds`; only cancellation is raised.

        The outcome of a response has its status, but is not judged by it. For the other arguments
        see `Lane.exchange`. `first` is an exchange of the engine that answers the first hop; with
        `resumed`, it answers the hop after its history. `spent` is the seconds taken before.
        """
        if not self.is_prepared:
            self.begin_batch(clock)
        reader = self._reader
        assert reader is not None
        trace = PhaseTrace(clock)
        named = _proxy_for(item)
        hops = Hops(
            self._client,
            self.binding,
            trace,
            admission=self._admission,
            minimum_rate=self.rules.minimum_rate,
            stepped=lambda sending: TimedSteps(sending, self._stalls, clock),
            first=first,
            watch=watch,
            proxy=named if isinstance(route, Unset) else route,
            names_proxy=not isinstance(named, Unset),
            short=self._short,
        )
        rules = self.rules
        if not isinstance(limits.max_body, Unset):
            rules = attrs.evolve(rules, max_body=limits.max_body)
        allowed = shorter(seconds, limits.head)
        limit = _limit_of(allowed, spent, left, trace, self._loop, self._is_virtual)
        attempt = ClientAttempt(
            self._client,
            self.binding,
            item,
            rules,
            hops,
            reader,
            self._plain_requests,
            resumed,
            sink,
            functools.partial(limit.extend, _more(seconds, allowed)),
        )
        outcome: Outcome | None = None
        self._under_way[limit] = trace
        try:
            with limit:
                outcome = await attempt.outcome(limits)
        except BaseException:
            await release_leaked(self._client)
            raise
        finally:
            del self._under_way[limit]
        if outcome is None:
            outcome = attempt.timed_out(allowed or 0.0)
            outcome.cut = allowed == seconds
            # It has waited in the pool's queue until the end.
            outcome.local = self._admission is not None and trace.is_waiting
        if outcome.local:
            trace.end_wait()
        if outcome.kind is FailureKind.dns:
            trace.tell_unknown_name()
        if outcome.cut or outcome.local or outcome.kind in _MAY_LOSE_COUNT:
            await release_leaked(self._client)
        outcome.target_silent = hops.state.is_target_silent(outcome)
        outcome.timing = trace.timing()
        outcome.queued = trace.queued
        outcome.url = attempt.url
        return outcome

    def locate(self, item: object) -> Any:
        """
        Return the absolute URL of `item`, as the client will request it.

        Raises:
            Exception: If `item` is not a request, or its URL cannot be fetched.
        """
        if not is_request(item):
            raise TypeError(f"a request must be a str, URL or Request, not {shown(item)}")
        request = Request.of(item)
        if (given := native_of(request)) is not None:
            url = self.binding.library.URL(str(given.url))
        else:
            check_text(request.url, self.binding)
            url = self.binding.located(self._client, request.url)
        check_url(url, self.binding, given=request.url)
        return url


def _more(seconds: float | None, allowed: float | None) -> float:
    """Return by how much an attempt may take longer than `allowed` once a body is being saved."""
    return math.inf if seconds is None or allowed is None else seconds - allowed


def _proxy_for(item: object) -> Proxy | Unset | None:
    """Return the proxy that a request names; `UNSET` if it names none."""
    given = item.proxy if isinstance(item, Request) else UNSET
    return given if isinstance(given, Unset) or given is None else proxy_of(given)


def _limit_of(
    seconds: float | None,
    spent: float,
    left: float | None,
    trace: PhaseTrace,
    loop: Any,
    has_virtual_clock: bool,
) -> TimeLimit:
    """Return the limit of an attempt, to be extended by its waits for a connection."""
    if seconds is None:
        return TimeLimit(None)
    most = math.inf if left is None else max(0.0, left - seconds)
    given = 0.0

    def more() -> float:
        nonlocal given
        waited = min(trace.queued, most) - given
        given += waited
        return waited

    limit = TimeLimit(max(0.0, seconds - spent), loop=loop, more=more if most else None)
    if has_virtual_clock:  # the limit does not ask
        trace.on_waited = lambda: limit.extend(more())
    return limit
