"""
One attempt through a client: build the request, authenticate it, and follow its redirects.

httpx's own logic (`response.next_request`) decides where a redirect leads, and which headers and
cookies the request after it has. Authentication flows run around the hops, as in httpx.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import attrs

from asyncbatch._lanes.client._binding import Binding
from asyncbatch._lanes.client._challenges import with_one_challenge
from asyncbatch._lanes.client._hop import Hops
from asyncbatch._lanes.client._next_request import leave_behind
from asyncbatch._lanes.client._own_client import showing_cookies_of
from asyncbatch._lanes.client._plain_requests import PlainRequests
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
from asyncbatch._lanes.failures._of_sink import sink_outcome
from asyncbatch._lanes.request._sendable import (
    check_extensions,
    check_location,
    check_text,
    check_url,
)
from asyncbatch._lanes.request._upload import Body
from asyncbatch._lanes.response._body import ClientBodyReader, close
from asyncbatch._lanes.response._save import leave_body, save_body
from asyncbatch._lanes.response._turn import EXCHANGE
from asyncbatch._values._body_source import UnreadableBody
from asyncbatch._values._errors import AttemptTimeout, FailureKind
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._request import UNSET, Request, native_of
from asyncbatch._values._request_parcel import check_present
from asyncbatch._values._sink import Head, Sink, SinkFailure, Taking
from asyncbatch._values._timeouts import TimeLimits
from asyncbatch._values._tries import hold


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


_DEFAULTS = Request("http://localhost/")
"""The options of a request without any."""


class ClientAttempt:
    """One attempt: its request, its hops, and its state."""

    def __init__(
        self,
        client: Any,
        binding: Binding,
        item: object,
        rules: Rules,
        hops: Hops,
        reader: ClientBodyReader,
        plain_requests: PlainRequests,
        resumed: Resumed | None,
        sink: Sink | None,
        on_body: Callable[[], object],
    ) -> None:
        self._client = client
        self._binding = binding
        self._item = item
        # Most items are plain URLs, and making a `Request` takes long.
        self._request = _DEFAULTS if type(item) is str else Request.of(item)
        self._rules = rules
        self._hops = hops
        self._reader = reader
        self._plain_requests = plain_requests
        self._state = hops.state
        self._resumed = resumed
        self._sink = sink
        # Called before the sink takes a body.
        self._on_body = on_body
        # Whether it has taken that of the last response.
        self._is_saving = False
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
                if not self._reader.turns.spend_nowait(EXCHANGE):
                    await self._reader.turns.spend(EXCHANGE)
                await self._respond(native)
            else:
                await self._resume(resumed)
            saved = await self._sink.finish() if self._sink and self._is_saving else None
        except SinkFailure as failure:
            return sink_outcome(failure, self._state.request, self._binding)
        except UnreadableBody as error:
            return self._answered(unreadable_outcome(error, self._state.request, self._binding))
        except Exception as error:
            return outcome_of(error, self._state, self._binding)
        except BaseException as error:
            stand_in = stray_cancellation(error)
            if stand_in is None or not (is_hooks(error) or is_callers(error)):
                raise
            return callback_outcome(stand_in)
        return self._answered(Outcome(saved=saved))

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
        # What the caller's `auth_flow` has yielded may be anything.
        return getattr(self._state.request, "url", None)

    def _build(self, limits: TimeLimits) -> Any:
        if type(self._item) is str:
            native = self._build_plain(self._item, limits)
            if native is not None:
                return native
            self._request = Request(self._item)
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
        self._hops.checked = native.url
        check_extensions(native)
        return native

    def _build_plain(self, url: str, limits: TimeLimits) -> Any:
        """Return the request for a URL without options; `None` if it is no plain one after all."""
        native = self._plain_requests.make(url, limits)
        if native is None:
            check_text(url, self._binding)
            with showing_cookies_of(self._client, url):
                native = self._binding.build_plain(self._client, url, limits)
            if native is None:
                return None
            check_url(native.url, self._binding, native)
            self._plain_requests.learn(native, url, limits)
        # Another URL of the same origin has been checked, if not this one.
        self._hops.checked = native.url
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
        if auth is None and native.url.userinfo:
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
                response, first = await self._hops.take_first_response(native, first), None
            response.history = list(history)
            if not (follow and response.has_redirect_location):
                await self._read(response)
                self._response = response
                return response
            # From here on, a request that cannot be sent is a failure of the redirect.
            self._state.redirected = True
            following = await self._following(response)
            self._response = response
            history.append(response)
            leave_behind(native, following)
            native = following

    async def _read(self, response: Any) -> None:
        """Read the body of a final response, to the sink if it takes it."""
        sink, rules = self._sink, self._rules
        self._is_saving = False
        if sink is None:
            await self._reader.read(response, rules.max_body, self._hops.exchange)
            return
        head = Head(
            response.status_code,
            response.request.method,
            str(response.url),
            response.headers.raw,
            lambda: response,
        )
        try:
            taking = await sink.accept(head)
        except BaseException:
            await close(response)
            raise
        self._is_saving = taking is not Taking.MEMORY
        if taking is Taking.MEMORY:
            await self._reader.read(response, rules.max_body, self._hops.exchange)
            return
        if taking is Taking.NOTHING:
            await leave_body(response, self._binding)
            return
        self._on_body()
        await save_body(response, self._binding, sink, rules.minimum_rate)

    async def _following(self, response: Any) -> Any:
        """Read the body of a redirect, and return the request that it leads to."""
        following = response.next_request
        if following is None:
            # Unless told to follow redirects, httpx2 ignores a `Location` that is not a URL.
            await close(response)
            raise self._binding.invalid_location(response)
        response.next_request = None
        check_location(response.headers.get("Location"), self._binding)
        await self._reader.read_redirect(response, self._rules.max_body, self._hops.exchange)
        return following


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
