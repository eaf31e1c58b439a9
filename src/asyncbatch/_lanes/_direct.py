"""
The direct lane: one attempt on the engine, without httpx's own code for each request.

It has the same results as the client lane, and leaves to that lane what it cannot do alike: what
`Conditions` and `RequestEncoder` refuse, and redirects that `Redirects` cannot follow. A
response that has come is not fetched again; it is replayed through the client.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

import attrs

from asyncbatch._engine import NEVER, EngineClosed, Exchange
from asyncbatch._lanes._client import ClientLane
from asyncbatch._lanes._exchange_limits import ExchangeLimitsCache
from asyncbatch._lanes._file_relay import FileRelay, NewFileRelay
from asyncbatch._lanes._hooked import HookedRequests
from asyncbatch._lanes._make_outcome import OutcomeMaker
from asyncbatch._lanes._redirects import Redirects, add_hops, leads_on
from asyncbatch._lanes._relay import Relay, Relays
from asyncbatch._lanes._saved import SavedRequests
from asyncbatch._lanes._sender import Sender
from asyncbatch._lanes.client._attempt import Resumed
from asyncbatch._lanes.client._binding import Binding
from asyncbatch._lanes.client._conditions import Conditions, has_hooks, standing_reason_against
from asyncbatch._lanes.client._own_client import OwnClient
from asyncbatch._lanes.request._encode import RequestEncoder
from asyncbatch._lanes.request._encoded_request import Encoded, Plain, PreparedRequest
from asyncbatch._lanes.request._origin_head import OriginHead
from asyncbatch._lanes.response._phases import course_of
from asyncbatch._lanes.response._response_builder import (
    Hop,
    UnconnectedBuilders,
    history_of,
    peer_of,
)
from asyncbatch._runtime._event_loop import Clock
from asyncbatch._runtime._stalls import Stalls
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._plain_urls import MAX_PLAIN_LENGTH, SIMPLE_TARGET
from asyncbatch._values._proxy import Proxy
from asyncbatch._values._request import UNSET, Request, Unset, plain_url
from asyncbatch._values._sink import Sink
from asyncbatch._values._telemetry import AttemptWatch
from asyncbatch._values._timeouts import TimeLimits
from asyncbatch._values._timing import course_of_all

# As a function, it is called in three quarters of the time.
_is_simple = SIMPLE_TARGET.fullmatch


class DirectLane:
    """Carries out attempts on the engine of a client of ours, or on the client if necessary."""

    def __init__(self, client: OwnClient, binding: Binding, **rules: Any) -> None:
        self.binding = binding
        self._client: Any = client
        # Its attributes, which its user may set at any time. As the dictionary of a client is asked
        # for, CPython looks up the type before it whenever an attribute is read: that takes thrice
        # as long.
        self._of_client = vars(client)
        self._transport = client.own_transport
        # Carries out what this lane leaves to the client.
        self._client_lane = ClientLane(client, binding, **rules)
        self._rules = self._client_lane.rules
        self._stalls = Stalls()
        self._conditions = Conditions(client, OwnClient, self._transport)
        # Why no request of the current batches may take this lane; None if they may.
        self._reason_against: str | None = "no batch has begun"
        self._encoder = RequestEncoder(client, binding, self._transport)
        self._origin_heads = self._encoder.origin_heads.made
        # The one of the last request.
        self._origin_head: OriginHead | None = None
        self._exchange_limits = ExchangeLimitsCache(
            max_body=self._rules.max_body,
            follow_redirects=self._rules.follow_redirects,
            minimum_rate=self._rules.minimum_rate,
        )
        self._outcomes = OutcomeMaker(client, binding, self._rules.max_body)
        self._redirects = Redirects(client, self._encoder.origin_heads, self._outcomes, self._rules)
        self._sender = Sender(self._transport, self._client_lane)
        pool = getattr(self._transport, "_pool", None)
        self._saved = SavedRequests(
            client, binding, self._sender, self._outcomes, self._rules.minimum_rate
        )
        self._hooked = HookedRequests(client, binding, pool, self._sender, self._outcomes)
        # Relays by their limits; the batches of a fetcher have its limits, and share one entry.
        self._relays: dict[TimeLimits, Relays] = {}

    @property
    def default_encoding(self) -> Any:
        """The encoding of texts whose response names none, or the function that finds it."""
        return self._client_lane.default_encoding

    def take_part_in(self, stalls: Stalls) -> None:
        """Register with `stalls`, to subtract blocked time of the event loop from measurements."""
        self._client_lane.take_part_in(stalls)
        self._hooked.take_part_in(stalls)
        self._stalls = stalls
        if self._transport is not None and self._transport.engine is not None:
            stalls.join(self._take_out)
            self._transport.engine.on_stall = self._tell_of_stall

    def tell_of_errors(self, on_error: Callable[[BaseException], bool]) -> None:
        """See `Lane.tell_of_errors`."""
        if self._transport is not None and self._transport.engine is not None:
            self._transport.engine.on_error = on_error

    def _take_out(self, seconds: float, before: float) -> None:
        """Subtract time in which the event loop was blocked from the engine's exchanges."""
        self._sender.engine.take_out(seconds, before)

    def _tell_of_stall(self, seconds: float, before: float) -> None:
        self._stalls.take_out(seconds, before, source=self._take_out)

    def begin_batch(self, clock: Clock) -> None:
        """Check whether requests of this batch may take the lane."""
        self._client_lane.is_prepared = False
        if clock is not monotonic:
            # The event loop has a virtual clock, which the engine does not know.
            self._reason_against = "the event loop is not one that the engine runs on"
            return
        if not self._outcomes.decoder.has_begun:
            self._outcomes.decoder.bind()
        self._reason_against = self._conditions.reason_against()

    def locate(self, item: object) -> Any:
        """
        Return the absolute URL of `item`, as the client will request it.

        Raises:
            Exception: If `item` is not a request, or its URL cannot be fetched.
        """
        return self._client_lane.locate(item)

    def encode(self, item: Any, limits: TimeLimits) -> Encoded | None:
        """
        Return `item` as the engine sends it, or `None` if the client must send it.

        What the client's user may change at any time is checked for each request.
        """
        url = item if type(item) is str else plain_url(item)
        if url is not None and self._reason_against is None:
            origin_head, of_client = self._origin_head, self._of_client
            if origin_head is None or not url.startswith(origin_head.prefix):
                origin_head = self._origin_heads.get(url[: url.find("/", len("https://"))])
            # A known origin, and unchanged headers: only the target is to be checked.
            if (
                origin_head is not None
                and origin_head.is_ours
                and _is_simple(url, origin_head.prefix_length)
                and "/." not in url
                and of_client["_headers"]._list == origin_head.client_headers
                and of_client["_auth"] is origin_head.auth
                and len(url) <= MAX_PLAIN_LENGTH
                and not of_client["_params"]._dict
            ):
                self._origin_head = origin_head
                target = url[origin_head.prefix_length :]
                jar, hooks = of_client["_cookies"].jar, of_client["_event_hooks"]
                if jar._cookies:
                    origin_head = origin_head.for_target(jar, target)
                if origin_head is not None:
                    payload = b"GET " + target.encode("ascii") + origin_head.head
                    if hooks["request"] or hooks["response"]:
                        return _hooked((item, url, origin_head, payload), limits)
                    return item, url, origin_head, payload
            self._origin_head = None  # made for headers that have changed, or another origin's
        return self._look_closer(item, url, limits)

    def encode_for_file(self, url: str, tried: Request | str, limits: TimeLimits) -> Plain | None:
        """See `Lane.encode_for_file`."""
        plain = self.encode(url, limits)
        if not isinstance(plain, tuple):
            return None
        _, text, origin_head, _ = plain
        asking = origin_head.for_files()
        if asking is None:
            return None
        target = text[origin_head.prefix_length :].encode("ascii")
        return tried, text, asking, b"GET " + target + asking.head

    def _look_closer(self, item: Any, url: str | None, limits: TimeLimits) -> Encoded | None:
        if self._reason_against is not None or standing_reason_against(self._client) is not None:
            return None
        try:
            encoded = self._encoder.encode(item, url, limits)
        except Exception:
            return None  # it cannot be sent; the client will find the same mistake and report it
        if encoded is not None and has_hooks(self._client):
            return _hooked(encoded, limits)
        return encoded

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
    ) -> Outcome:
        """
        Send `item` and return the outcome, within `seconds`; only cancellation is raised.

        The outcome of a response has its status, but is not judged by it. For the arguments see
        `Lane.exchange`.
        """
        if encoded is None:
            return await self._client_lane.exchange(
                item, None, limits, seconds, clock, left, route, sink, watch
            )
        prepared = PreparedRequest.of(encoded, limits)
        prepared.watch = watch
        if not isinstance(route, Unset):
            prepared.go_through(route)
        if sink is not None:
            return await self._save(prepared, limits, seconds, clock, left, route, sink)
        if prepared.is_hooked:
            return await self._hooked.exchange(
                prepared,
                self._exchange_limits.streamed(prepared.limits),
                seconds,
                self._outcomes.decoder_of(limits),
                self._outcomes.max_body_of(limits),
            )
        deadline = NEVER if seconds is None else monotonic() + seconds
        try:
            exchange = self._begin(prepared, deadline)
        except (EngineClosed, RuntimeError):
            # Closed by its user, or used from another event loop: the client reports it.
            return await self._client_lane.exchange(
                item, None, limits, seconds, clock, left, route, None, watch
            )
        await self._sender.wait(exchange)
        return await self._conclude(prepared, exchange, limits, seconds, watch)

    async def _save(
        self,
        prepared: PreparedRequest,
        limits: TimeLimits,
        seconds: float | None,
        clock: Clock,
        left: float | None,
        route: Proxy | Unset | None,
        sink: Sink,
    ) -> Outcome:
        """Send a request whose body goes to `sink`; see `exchange`."""
        if not prepared.is_hooked:
            try:
                streamed = self._exchange_limits.streamed(prepared.limits)
                return await self._saved.exchange(prepared, streamed, seconds, sink)
            except (EngineClosed, RuntimeError):
                pass  # the client reports it
        return await self._client_lane.exchange(
            prepared.item, None, limits, seconds, clock, left, route, sink, prepared.watch
        )

    def relays(self, limits: TimeLimits) -> Relays | None:
        """
        Return what makes the relays for encoded requests with these limits.

        `None` if there is no engine for them.
        """
        if self._transport is None or self._transport.engine is None:
            return None
        relays = self._relays.get(limits)
        if relays is None:
            relays = self._relays[limits] = Relays(
                partial(
                    Relay,
                    self._sender.engine,
                    self._exchange_limits.of(limits),
                    limits,
                    self._outcomes.decoder,
                    self._rules.max_body,
                    self._outcomes.response_builder,
                    UnconnectedBuilders(limits),
                    self._outcomes.take_cookies,
                    self._redirects.next_hop,
                    self._conclude,
                )
            )
        return relays

    def file_relays(self, limits: TimeLimits, longest: int) -> NewFileRelay | None:
        """See `Lane.file_relays`."""
        if self._transport is None or self._transport.engine is None:
            return None
        return partial(
            FileRelay,
            self._sender.engine,
            attrs.evolve(self._exchange_limits.streamed(limits), gathers=longest),
            limits,
            longest,
            self._outcomes.take_cookies,
            self._conclude_for_file,
        )

    async def _conclude_for_file(
        self,
        encoded: Encoded,
        exchange: Exchange,
        limits: TimeLimits,
        seconds: float | None,
        sink: Sink,
    ) -> Outcome:
        """Return the outcome of an exchange that a file relay has left."""
        prepared = PreparedRequest.of(encoded, limits)
        return await self._saved.conclude(prepared, exchange, seconds, sink)

    def close(self) -> None:
        """Free what is kept for further batches."""
        for relays in self._relays.values():
            relays.close()

    async def _conclude(
        self,
        encoded: Encoded,
        exchange: Exchange,
        limits: TimeLimits,
        seconds: float | None,
        watch: AttemptWatch | None = None,
        hops: list[Hop] | None = None,
    ) -> Outcome:
        """
        Follow the redirects of an exchange that has ended, and return the outcome.

        Args:
            encoded: The request of the exchange.
            exchange: The exchange.
            limits: The time limits of the attempt.
            seconds: The limit on the attempt.
            watch: Is told of each request that is sent.
            hops: The redirects that a relay has followed to `exchange`.
        """
        prepared = PreparedRequest.of(encoded, limits)
        if watch is not None:
            prepared.watch = watch
            if not watch.is_open:
                watch.sent(prepared.method.decode("ascii"), prepared.url, exchange.begun_at)
        hops = [] if hops is None else hops
        while leads_on(exchange):
            following = self._follow(exchange, prepared, hops)
            if following is None:
                return await self._replay(exchange, prepared, hops, seconds)
            exchange, prepared = following
            await self._sender.wait(exchange)
        outcome = await self._outcomes.outcome_of(exchange, prepared, hops, seconds)
        if hops:
            add_hops(outcome, hops, exchange)
        return outcome

    def _follow(
        self, exchange: Exchange, prepared: PreparedRequest, hops: list[Hop]
    ) -> tuple[Exchange, PreparedRequest] | None:
        """
        Begin the exchange that a redirect leads to, and add the redirect to `hops`.

        Returns:
            The exchange and its request, or `None` if the client must follow the redirect.
        """
        found = self._redirects.next_hop(exchange, prepared, len(hops))
        if found is None:
            return None
        following, hop = found
        head = exchange.head
        assert head is not None
        watch, prepared.watch = prepared.watch, None
        if watch is not None:
            watch.head_received(head.status, head.version, peer_of(exchange.connection))
            watch.hop_ended(exchange.ended_at)
            following.watch = watch
        try:
            begun = self._begin(following, exchange.deadline)
        except (EngineClosed, RuntimeError):
            # The client reports it. The watch has been told of the redirect and of this request.
            return None
        self._outcomes.log_head(head, prepared)
        hops.append(hop)
        return begun, following

    async def _replay(
        self,
        exchange: Exchange,
        prepared: PreparedRequest,
        hops: list[Hop],
        seconds: float | None,
    ) -> Outcome:
        """Continue on the client lane from a response that has come; no request is sent twice."""
        earlier = course_of_all([*(hop.course for hop in hops), course_of(exchange)])
        # All hops have the same deadline, which is extended by blocked time of the event loop.
        spent = 0.0 if seconds is None else seconds - (exchange.deadline - monotonic())
        exchange.error = None  # that of a body which is too long, and left empty
        resumed = Resumed(prepared.native(), history_of(hops))
        return await self._sender.leave_to_client(
            prepared, exchange, resumed, earlier, seconds, spent
        )

    def _begin(self, prepared: PreparedRequest, deadline: float) -> Exchange:
        limits = self._exchange_limits.of(prepared.limits, prepared.follow_redirects)
        return self._sender.begin(prepared, limits, deadline)


def _hooked(encoded: Encoded, limits: TimeLimits) -> PreparedRequest:
    """Return the prepared form of a request for which event hooks are called."""
    prepared = PreparedRequest.of(encoded, limits)
    prepared.is_hooked = True
    prepared.may_relay = False
    return prepared
