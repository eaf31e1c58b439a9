"""
The proxies of a pool for the attempts of one fetcher: taking one, waiting for one, giving it back.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio

from asyncbatch._lanes import Binding
from asyncbatch._policies._proxy_pool import Full, ProxyPool, ProxyRotation
from asyncbatch._runtime._event_loop import Clock
from asyncbatch._values._errors import FailureKind, ProxyError
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._proxy import Proxy


class Proxies:
    """
    Hands out the proxies of one pool.

    Args:
        pool: The pool.
        random: Draws from [0, 1).
    """

    def __init__(self, pool: ProxyPool, random: Callable[[], float]) -> None:
        self._rotation = ProxyRotation(pool, random)
        # Set when an attempt has ended; a new one for each wait.
        self._ended = anyio.Event()

    def acquire_nowait(self, item: object, host: str, now: float) -> Proxy | Full | None:
        """
        Take a proxy for an attempt, `FULL` if none has room, or `None` if all of them rest.

        Raises:
            Exception: What the pool's `key` raises.
        """
        return self._rotation.acquire(item, host, now)

    async def acquire(self, item: object, host: str, clock: Clock) -> Proxy | None:
        """
        Take a proxy for an attempt, as soon as one has room; `None`: all of them rest.

        Raises:
            Exception: What the pool's `key` raises.
        """
        while True:
            taken = self._rotation.acquire(item, host, clock())
            if not isinstance(taken, Full):
                return taken
            if self._ended.is_set():
                self._ended = anyio.Event()
            await self._ended.wait()

    def release(self, proxy: Proxy) -> None:
        """Give a proxy back whose attempt was cancelled."""
        self._rotation.release(proxy)
        self._ended.set()

    def settle(self, proxy: Proxy, outcome: Outcome, now: float) -> None:
        """Give a proxy back; where another one is left, its refusal is no reason not to ask."""
        self._rotation.give_back(proxy, outcome, now)
        self._ended.set()
        if not self._rotation.has_other(proxy, now):
            return
        if outcome.kind is FailureKind.proxy and outcome.permanent:
            outcome.permanent, outcome.undone = False, True
        elif outcome.kind is FailureKind.status and outcome.status_code == 429:
            outcome.of_proxy, outcome.retry_after = True, None

    def none_left(self, binding: Binding, now: float) -> Outcome:
        """Return the outcome of an attempt for which there is no proxy."""
        seconds = self._rotation.back_at() - now
        error = binding.error(ProxyError)(
            f"no proxy is left: all {len(self._rotation)} of them rest, the first for another "
            f"{seconds:.3g} s",
            proxy=None,
        )
        return Outcome(kind=FailureKind.proxy, error=error, of_proxy=True, permanent=True)
