"""
The client lane: one attempt through `client.send`, on any `AsyncClient`.

Every feature of httpx works here, at httpx's cost. Redirects are followed hop by hop, so that
limits hold on each hop; httpx's own logic (`response.next_request`) decides where they lead, and
which headers and cookies they carry. Authentication flows run around the hops, as in httpx.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import attrs

from asyncbatch._engine import Exchange
from asyncbatch._lanes._relay import OnAnswer, Relay
from asyncbatch._lanes.client._binding import Binding
from asyncbatch._lanes.client._challenges import with_one_challenge
from asyncbatch._lanes.client._hop import Hops
from asyncbatch._lanes.client._httpcore_pool import Admission, admission_of, release_leaked
from asyncbatch._lanes.client._own_client import showing_cookies_of
from asyncbatch._lanes.client._redirects import leave_behind
from asyncbatch._lanes.failures._callers import (
    CallersError,
    is_callers,
    is_hooks,
    stray_cancellation,
)
from asyncbatch._lanes.failures._of_client import (
    callback_outcome,
    invalid_outcome,
    outcome_of,
    unreadable_outcome,
)
from asyncbatch._lanes.failures._of_engine import blame_proxy
from asyncbatch._lanes.request._encoded_request import Encoded
from asyncbatch._lanes.request._sendable import (
    check_extensions,
    check_location,
    check_text,
    check_url,
)
from asyncbatch._lanes.request._upload import Body
from asyncbatch._lanes.response._body import close, read_body, read_redirect_body
from asyncbatch._lanes.response._phases import PhaseTrace
from asyncbatch._lanes.response._turn import EXCHANGE, wait_turn
from asyncbatch._runtime._event_loop import Clock
from asyncbatch._runtime._stalls import Stalls, TimedSteps, TimeLimit
from asyncbatch._values._body_source import UnreadableBody
from asyncbatch._values._errors import AttemptTimeout, FailureKind
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._proxy import Proxy, proxy_of
from asyncbatch._values._redaction import shown
from asyncbatch._values._request import (
    UNSET,
    Request,
    Unset,
    check_present,
    hold,
    is_request,
    native_of,
)
from asyncbatch._values._timeouts import TimeLimits

_MAY_LOSE_COUNT = (FailureKind.timeout, FailureKind.protocol)
"""Failures after which an HTTP/2 connection may count more streams than it has."""


@attrs.frozen
class Rules:
    """Options of all exchanges of a lane."""

    max_body: int | None
    follow_redirects: bool
    max_redirects: int
    minimum_rate: float | None


@attrs.frozen
class Resumed:
    """The state of an attempt that the engine has begun and the client lane continues."""

    native: Any
    """The request that has been sent or will be sent next."""
    history: list[Any]
    """The responses that led to it."""
    response: Any = None
    """Its own response, if the head has come and the response hooks have been called."""
    is_hooked: bool = False
    """Whether the hooks of the request have been called."""


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
        self._stalls = Stalls()
        # The phases of attempts in progress, by their limits.
        self._under_way: dict[TimeLimit, PhaseTrace] = {}
        # Set by each batch, since the client's transports may change before it.
        self._admission: Admission | None = None

    def take_part_in(self, stalls: Stalls) -> None:
        """Register with `stalls`, to subtract blocked time of the event loop from measurements."""
        self._stalls = stalls
        stalls.join(self.take_out)

    def take_out(self, seconds: float, before: float) -> None:
        """Subtract time in which the event loop was blocked from attempts in progress."""
        for limit, trace in self._under_way.items():
            limit.extend(seconds)
            trace.take_out(seconds, before)

    def begin_batch(self, clock: Clock) -> None:
        """Prepare for a batch whose exchanges use `clock`."""
        self._admission = admission_of(self._client)

    def relay(self, limits: TimeLimits, on_answer: OnAnswer) -> Relay | None:
        """Return a relay for encoded requests; this lane has none."""
        return None

    def encode(self, item: Any, limits: TimeLimits) -> Encoded | None:
        """Return `None`: the client sends `item`."""
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
        trace = PhaseTrace(clock)
        hops = Hops(
            self._client,
            self.binding,
            trace,
            admission=self._admission,
            minimum_rate=self.rules.minimum_rate,
            stepped=lambda sending: TimedSteps(sending, self._stalls, clock),
            first=first,
            proxy=_proxy_for(item) if isinstance(route, Unset) else route,
            names_proxy=not isinstance(_proxy_for(item), Unset),
        )
        rules = self.rules
        if not isinstance(limits.max_body, Unset):
            rules = attrs.evolve(rules, max_body=limits.max_body)
        exchange = _Exchange(self._client, self.binding, item, rules, hops, resumed)
        outcome: Outcome | None = None
        limit = TimeLimit(None if seconds is None else max(0.0, seconds - spent))
        self._under_way[limit] = trace
        try:
            with limit:
                if seconds is not None:
                    trace.on_waited = _prolongation(limit, None if left is None else left - seconds)
                outcome = await exchange.outcome(limits)
        except BaseException:
            await release_leaked(self._client)
            raise
        finally:
            del self._under_way[limit]
        if outcome is None:
            outcome = exchange.timed_out(seconds or 0.0)
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
        outcome.url = exchange.url
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


class _Exchange:
    """One attempt: its request, its hops, and its state."""

    def __init__(
        self,
        client: Any,
        binding: Binding,
        item: object,
        rules: Rules,
        hops: Hops,
        resumed: Resumed | None = None,
    ) -> None:
        self._client = client
        self._binding = binding
        self._item = item
        self._request = Request.of(item)
        self._rules = rules
        self._hops = hops
        self._state = hops.state
        self._resumed = resumed
        # The last response that has been read.
        self._response: Any = None

    async def outcome(self, limits: TimeLimits) -> Outcome:
        """Run the exchange; every `Exception` becomes an outcome."""
        resumed = self._resumed
        try:
            native = self._build(limits) if resumed is None else resumed.native
        except Exception as error:
            return invalid_outcome(error, self._binding)
        self._state.request = native
        try:
            if resumed is None:
                await wait_turn(EXCHANGE)
                await self._respond(native)
            else:
                await self._resume(resumed)
        except UnreadableBody as error:
            return self._answered(unreadable_outcome(error, self._state.request, self._binding))
        except Exception as error:
            return outcome_of(error, self._state, self._binding)
        except BaseException as error:
            stand_in = stray_cancellation(error)
            if stand_in is None or not (is_hooks(error) or is_callers(error)):
                raise
            return callback_outcome(stand_in)
        return self._answered(Outcome())

    def _answered(self, outcome: Outcome) -> Outcome:
        """Return `outcome` with the last response, if there is one."""
        response = self._response
        if response is not None:
            outcome.response = response
            outcome.content = response.content
            outcome.status_code = response.status_code
            outcome.forwarded_by = self._state.forwarded_by
        return outcome

    def timed_out(self, seconds: float) -> Outcome:
        """Return the outcome of an attempt that was cut off after `seconds`."""
        error = self._binding.error(AttemptTimeout)(seconds, request=self._state.request)
        outcome = Outcome(kind=FailureKind.timeout, error=error, cut=True)
        outcome.connect_failed = self._state.trace.connecting and not self._state.hops
        outcome.heard = self._state.heard
        if self._state.trace.is_at_proxy:
            blame_proxy(outcome)
        return outcome

    @property
    def url(self) -> Any:
        """The URL of the request in progress; `None` before there is one."""
        return None if self._state.request is None else self._state.request.url

    def _build(self, limits: TimeLimits) -> Any:
        if not is_request(self._item):
            raise TypeError(f"a request must be a str, URL or Request, not {shown(self._item)}")
        request, library = self._request, self._binding.library
        check_present(request)
        if native_of(request) is not None:
            native = self._binding.prepared(request)
            native.extensions.setdefault("timeout", limits.by_phase())
        else:
            check_text(request.url, self._binding)
            body, extensions = Body(request), dict(request.extensions or {})
            with showing_cookies_of(self._client, request.url):
                native = self._binding.build(
                    self._client, request, body, limits, extensions=extensions
                )
            body.give_to(native, library)
            hold(request, body.sources)
        check_url(native.url, self._binding, native)
        check_extensions(native)
        return native

    async def _respond(self, native: Any) -> None:
        """Run the authentication flow, if there is one, around the hops (httpx's own order)."""
        auth = self._auth(native)
        if auth is None:
            await self._follow(native, [])
            return
        library = self._binding.library
        history: list[Any] = []
        own = not isinstance(auth, library.DigestAuth | library.BasicAuth)
        async with contextlib.aclosing(_auth_flow(auth, native)) as flow:
            native = await self._step(anext(flow), own)
            while True:
                response = await self._follow(native, history)
                headers = response.headers
                if response.status_code == 401 and isinstance(auth, library.DigestAuth):
                    response.headers = with_one_challenge(response, library)
                try:
                    following = await self._step(flow.asend(response), own)
                except StopAsyncIteration:
                    return
                finally:
                    response.headers = headers
                # As in httpx, the redirects of this leg are not part of the history.
                response.history = list(history)
                history.append(response)
                native = following

    async def _resume(self, resumed: Resumed) -> None:
        """Continue an attempt, which has no authentication flow."""
        history = resumed.history
        self._state.redirected = bool(history)
        self._state.hops = len(history)
        self._response = history[-1] if history else None
        self._hops.are_hooks_called = resumed.is_hooked
        await self._follow(resumed.native, history, resumed.response)

    def _step(self, step: Awaitable[Any], by_caller: bool) -> Awaitable[Any]:
        """Return the awaitable for a step of an authentication flow, wrapped if the caller's."""
        return _callers_step(self._hops.stepped(step)) if by_caller else step

    def _auth(self, native: Any) -> Any:
        given = self._request.auth
        auth = self._client.auth if given is UNSET else self._binding.auth(given)
        if auth is None and (native.url.username or native.url.password):
            return self._binding.library.BasicAuth(native.url.username, native.url.password)
        return auth

    async def _follow(self, native: Any, earlier: list[Any], first: Any = None) -> Any:
        """
        Send `native` and follow its redirects, one hop at a time.

        Args:
            native: The request.
            earlier: The history before its response.
            first: Its response, if the head has come.
        """
        history = list(earlier)
        wanted = self._request.follow_redirects
        follow = self._rules.follow_redirects if wanted is None else wanted
        while True:
            if len(history) > self._rules.max_redirects:
                raise self._binding.library.TooManyRedirects(
                    "Exceeded maximum allowed redirects.", request=native
                )
            if first is None:
                response = await self._hops.send(native)
            else:
                response, first = await self._hops.take(native, first), None
            response.history = list(history)
            if not (follow and response.has_redirect_location):
                await read_body(
                    response, self._binding, self._rules.max_body, self._rules.minimum_rate
                )
                self._response = response
                return response
            # From here on, a request that cannot be sent is a failure of the redirect.
            self._state.redirected = True
            following = await self._following(response)
            self._response = response
            history.append(response)
            leave_behind(native, following)
            native = following

    async def _following(self, response: Any) -> Any:
        """Read the body of a redirect, and return the request that it leads to."""
        following = response.next_request
        if following is None:
            # Unless told to follow redirects, httpx2 ignores a `Location` that is not a URL.
            await close(response)
            raise self._binding.invalid_location(response)
        response.next_request = None
        check_location(response.headers.get("Location"), self._binding)
        await read_redirect_body(
            response, self._binding, self._rules.max_body, self._rules.minimum_rate
        )
        return following


def _proxy_for(item: object) -> Proxy | Unset | None:
    """Return the proxy that a request names; `UNSET` if it names none."""
    given = item.proxy if isinstance(item, Request) else UNSET
    return given if isinstance(given, Unset) or given is None else proxy_of(given)


def _prolongation(limit: TimeLimit, most: float | None) -> Callable[[float], None]:
    """Return a function that extends `limit`, by at most `most` seconds in total."""
    left = math.inf if most is None else max(0.0, most)

    def prolong(seconds: float) -> None:
        nonlocal left
        seconds = min(seconds, left)
        left -= seconds
        limit.extend(seconds)

    return prolong


async def _callers_step(step: Awaitable[Any]) -> Any:
    """
    Return the next request of an authentication flow of the caller's.

    Raises:
        CallersError: If the flow raises. Its error says nothing about the server of the request.
    """
    try:
        return await step
    except StopAsyncIteration:
        raise
    except Exception as error:
        raise CallersError(error) from None
    except BaseException as error:
        if (stand_in := stray_cancellation(error)) is not None:
            raise CallersError(stand_in) from None
        raise


def _auth_flow(auth: Any, native: Any) -> AsyncGenerator[Any, Any]:
    flow: AsyncGenerator[Any, Any] = auth.async_auth_flow(native)
    return flow
