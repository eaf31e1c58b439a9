"""
The client lane: one attempt through `client.send`, on whatever `AsyncClient` there is.

Every feature of httpx works here, at httpx's price. Redirects are followed hop by hop, so that
limits hold on each hop; where they lead, which headers they keep and what cookies they carry is
httpx's own logic (`response.next_request`). Authentication flows run around the hops, as in httpx.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import anyio

from asyncbatch._clock import Clock
from asyncbatch._errors import AttemptTimeout, FailureKind
from asyncbatch._lanes._binding import Binding
from asyncbatch._lanes._body import read_body, read_redirect_body
from asyncbatch._lanes._failures import Situation, outcome_of
from asyncbatch._lanes._trace import PhaseTrace
from asyncbatch._outcome import Outcome
from asyncbatch._request import UNSET, Request, is_request
from asyncbatch._timeouts import TimeLimits


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
    ) -> None:
        self._client = client
        self.binding = binding
        self._max_body = max_body
        self._follow_redirects = follow_redirects
        self._max_redirects = max_redirects

    async def exchange(
        self, item: object, limits: TimeLimits, seconds: float | None, clock: Clock
    ) -> Outcome:
        """
        Send `item` and return the outcome, within `seconds`; only cancellation is raised.

        The outcome of a response has its status, but no verdict on it.
        """
        request = Request.of(item)
        trace = PhaseTrace(clock, dict(request.extensions or {}).get("trace"))
        exchange = _Exchange(self._client, self.binding, request, trace)
        exchange.max_body = self._max_body
        exchange.max_redirects = self._max_redirects
        follow = request.follow_redirects
        exchange.follow_redirects = self._follow_redirects if follow is None else follow
        outcome: Outcome | None = None
        with anyio.move_on_after(seconds):
            outcome = await exchange.outcome(item, limits)
        if outcome is None:
            outcome = exchange.timed_out(seconds or 0.0)
        outcome.timing = trace.timing()
        outcome.url = exchange.url
        return outcome

    def locate(self, item: object) -> Any:
        """
        Return the absolute URL of `item`, as the client will ask for it.

        Raises:
            Exception: If `item` is no request, or its URL is not one that can be fetched.
        """
        if not is_request(item):
            raise TypeError(f"a request must be a str, URL or Request, not {item!r}")
        request = Request.of(item)
        if request.prepared is not None:
            url = self.binding.prepared(request.prepared).url
        else:
            url = self._client.build_request("GET", self.binding.url(request.url)).url
        check_url(url, self.binding)
        return url


class _Exchange:
    """One attempt: its request, its hops, and what is going on."""

    # Set by the lane before the start.
    max_body: int | None
    max_redirects: int
    follow_redirects: bool

    def __init__(self, client: Any, binding: Binding, request: Request, trace: PhaseTrace) -> None:
        self._client = client
        self._binding = binding
        self._request = request
        self._trace = trace
        self._situation = Situation()
        self._history: list[Any] = []

    async def outcome(self, item: object, limits: TimeLimits) -> Outcome:
        """Run the exchange; every `Exception` becomes an outcome."""
        try:
            native = self._build(item, limits)
        except Exception as error:
            return Outcome(kind=FailureKind.invalid_request, error=error)
        self._situation.request = native
        caller_extensions = native.extensions
        native.extensions = {**caller_extensions, "trace": self._trace}
        try:
            response = await self._respond(native)
        except Exception as error:
            return outcome_of(error, self._situation, self._binding)
        finally:
            native.extensions = caller_extensions
        return Outcome(response=response, status_code=response.status_code)

    def timed_out(self, seconds: float) -> Outcome:
        """Return the outcome of an attempt that was cut off after `seconds`."""
        error = self._binding.error(AttemptTimeout)(seconds, request=self._situation.request)
        outcome = Outcome(kind=FailureKind.timeout, error=error, cut=True)
        outcome.connect_failed = self._trace.connecting
        return outcome

    @property
    def url(self) -> Any:
        """The URL under way, `None` before there is one."""
        return None if self._situation.request is None else self._situation.request.url

    def _build(self, item: object, limits: TimeLimits) -> Any:
        if not is_request(item):
            raise TypeError(f"a request must be a str, URL or Request, not {item!r}")
        request, library = self._request, self._binding.library
        timeout = library.Timeout(
            connect=limits.connect, read=limits.read, write=limits.write, pool=limits.pool
        )
        if request.prepared is not None:
            native = self._binding.prepared(request.prepared)
            native.extensions.setdefault("timeout", timeout.as_dict())
        else:
            native = self._client.build_request(
                request.method,
                self._binding.url(request.url),
                timeout=timeout,
                extensions=dict(request.extensions or {}),
                **self._binding.arguments(request),
            )
        check_url(native.url, self._binding)
        return native

    async def _respond(self, native: Any) -> Any:
        """Drive the authentication flow, if there is one, around the hops (httpx's own order)."""
        auth = self._auth(native)
        if auth is None:
            return await self._follow(native)
        async with contextlib.aclosing(_auth_flow(auth, native)) as flow:
            native = await anext(flow)
            while True:
                response = await self._follow(native)
                try:
                    following = await flow.asend(response)
                except StopAsyncIteration:
                    return response
                response.history = list(self._history)
                self._history.append(response)
                native = following

    def _auth(self, native: Any) -> Any:
        given = self._request.auth
        auth = self._client.auth if given is UNSET else self._binding.auth(given)
        if auth is None and (native.url.username or native.url.password):
            return self._binding.library.BasicAuth(native.url.username, native.url.password)
        return auth

    async def _follow(self, native: Any) -> Any:
        """Send `native` and whatever it is redirected to, one hop at a time."""
        while True:
            if len(self._history) > self.max_redirects:
                raise self._binding.library.TooManyRedirects(
                    "Exceeded maximum allowed redirects.", request=native
                )
            response = await self._hop(native)
            following = response.next_request if self.follow_redirects else None
            if following is None:
                await read_body(response, self._binding, self.max_body)
                response.history = list(self._history)
                return response
            await read_redirect_body(response, self._binding)
            response.history = list(self._history)
            self._history.append(response)
            _keep_secrets(native, following)
            check_url(following.url, self._binding)
            native = following

    async def _hop(self, native: Any) -> Any:
        self._situation.request = native
        self._situation.in_body = False
        response = await self._client.send(
            native, stream=True, auth=self._binding.no_auth, follow_redirects=False
        )
        self._situation.in_body = True
        self._situation.hops += 1
        return response


def check_url(url: Any, binding: Binding) -> None:
    """
    Refuse what cannot be fetched, before any connection is made for it.

    Raises:
        UnsupportedProtocol: If the scheme is not http or https.
        InvalidURL: If there is no host, or the port is none that exists.
    """
    library = binding.library
    if url.scheme not in ("http", "https"):
        raise library.UnsupportedProtocol(
            f"the URL must begin with http:// or https://, not {str(url)[:100]!r}"
        )
    if not url.host:
        raise library.InvalidURL(f"the URL has no host: {str(url)[:100]!r}")
    if url.port is not None and not 0 < url.port < 65536:
        raise library.InvalidURL(f"the URL's port must be from 1 to 65535, not {url.port}")


def _auth_flow(auth: Any, native: Any) -> AsyncGenerator[Any, Any]:
    flow: AsyncGenerator[Any, Any] = auth.async_auth_flow(native)
    return flow


def _keep_secrets(native: Any, following: Any) -> None:
    """
    Remove from a redirected request what was meant for the first origin alone.

    httpx does so for `Authorization` and cookies; `Proxy-Authorization` it lets pass to any origin
    (as Go did until CVE-2025-4673).
    """
    if _origin(native.url) != _origin(following.url):
        following.headers.pop("Proxy-Authorization", None)


def _origin(url: Any) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)
