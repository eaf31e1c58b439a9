"""
`FaultTransport`: an httpx transport with injected faults.

`_faults` defines what a fault does.
"""

from __future__ import annotations

import functools
import inspect
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

import httpx

if TYPE_CHECKING:
    from types import ModuleType

    from ._faults import Fault, Forward

Handler = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


class FaultTransport(httpx.AsyncBaseTransport):
    """
    An httpx transport that answers through another one, or a function, and injects faults.

        transport = FaultTransport(
            lambda request: httpx.Response(200, json={"path": request.url.path}),
            [Fault.status(429, retry_after=1).first(1), Fault.connect().sometimes(0.05)],
        )
        async with asyncbatch.Fetcher(transport=transport) as fetcher:
            ...

    The same seed, URLs and tries get the same faults, in any order of the requests. For that, the
    transport counts the tries of each method and URL, if a fault depends on them.
    """

    # The library of the responses and errors; `for_library` changes it.
    _library: Any = httpx

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport | Handler | None = None,
        faults: Iterable[Fault] = (),
        *,
        seed: int = 0,
        record: int = 10_000,
    ) -> None:
        """Wrap `inner`.

        Args:
            inner: A transport, which is closed with this one; or a function of a request, plain or
                `async`, as for `httpx.MockTransport`. `None` answers with an empty 200.
            faults: The faults, each wrapped around those after it: a latency before a connect error
                passes before that error is raised.
            seed: Determines probabilities and jitters.
            record: Number of the latest requests that `requests` keeps.
        """
        self._transport: httpx.AsyncBaseTransport | None = None
        self._handler: Handler = self._empty
        if isinstance(inner, self._library.AsyncBaseTransport):
            self._transport = cast("httpx.AsyncBaseTransport", inner)
        elif inner is not None:
            self._handler = cast("Handler", inner)
        self._faults = tuple(faults)
        self._seed = seed
        self._counts_tries = any(
            fault.tries is not None or fault.is_random for fault in self._faults
        )
        self._tries: Counter[tuple[str, str]] = Counter()
        self._injected: Counter[str] = Counter()
        self._requests: deque[httpx.Request] = deque(maxlen=record)

    @classmethod
    def for_library(cls, library: ModuleType) -> Any:
        """Return a variant for the clients of `library`: `FaultTransport.for_library(httpx2)`."""
        bases = (FaultTransport, library.AsyncBaseTransport)
        return type("FaultTransport", bases, {"_library": library})

    @property
    def requests(self) -> tuple[httpx.Request, ...]:
        """Return the latest requests, in order, at most `record` of them."""
        # Copied by one call: without the GIL, a deque that grows cannot be iterated over.
        return tuple(self._requests.copy())

    @property
    def injected(self) -> dict[str, int]:
        """Return how often each fault struck, by name: `{"connect": 2, "503": 1}`."""
        return dict(self._injected)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer `request`, with the faults that strike it."""
        self._requests.append(request)
        forward: Forward = functools.partial(self._forward, request)
        for fault, extra in reversed(self._striking(request)):
            forward = functools.partial(self._strike, fault, request, forward, extra)
        return await forward()

    async def aclose(self) -> None:
        """Close the inner transport."""
        if self._transport is not None:
            await self._transport.aclose()

    async def _forward(self, request: httpx.Request) -> httpx.Response:
        if self._transport is not None:
            return await self._transport.handle_async_request(request)
        # As httpx.MockTransport does, so that the function can look at the content.
        await request.aread()
        answer = self._handler(request)
        return await answer if inspect.isawaitable(answer) else answer

    def _empty(self, request: httpx.Request) -> httpx.Response:
        answer: httpx.Response = self._library.Response(200, request=request)
        return answer

    def _striking(self, request: httpx.Request) -> list[tuple[Fault, float]]:
        """Return the faults that strike, each with its jitter in seconds."""
        url = (request.method, str(request.url))
        if self._counts_tries:
            self._tries[url] += 1
        tries = self._tries[url] if self._counts_tries else 1
        striking: list[tuple[Fault, float]] = []
        for number, fault in enumerate(self._faults):
            if not fault.matches(request) or tries > (fault.tries or tries):
                continue
            if not fault.is_random:
                striking.append((fault, 0.0))
                continue
            dice = random.Random(f"{self._seed} {number} {tries} {url}")  # noqa: S311
            if dice.random() < fault.probability:
                striking.append((fault, dice.random() * fault.jitter))
        return striking

    async def _strike(
        self, fault: Fault, request: httpx.Request, forward: Forward, extra: float
    ) -> httpx.Response:
        self._injected[fault.name] += 1
        return await fault.effect(self._library, request, forward, extra)
