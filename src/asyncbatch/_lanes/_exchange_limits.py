"""
What the direct lane asks of the engine, by the time limits of a request.
"""

from __future__ import annotations

import attrs

from asyncbatch._engine import ExchangeLimits
from asyncbatch._engine.http11 import NO_LIMIT, longest_transfer
from asyncbatch._lanes.response._body import redirect_limit
from asyncbatch._values._request import Unset
from asyncbatch._values._timeouts import TimeLimits

_MOST = 100
"""How many limits are kept: as many as there are timeouts of single requests."""


class ExchangeLimitsCache:
    """
    The limits of one lane's exchanges, made once for all with the same limits.

    Args:
        max_body: Bytes that a decoded body may have; None for any number.
        follow_redirects: Whether redirects are followed where a request does not say it.
        minimum_rate: Below which a body is given up, in bytes per second.
    """

    def __init__(
        self, *, max_body: int | None, follow_redirects: bool, minimum_rate: float | None
    ) -> None:
        self._max_body = max_body
        self._follow_redirects = follow_redirects
        self._minimum_rate = minimum_rate
        self._made: dict[TimeLimits, ExchangeLimits] = {}
        self._streamed: dict[TimeLimits, ExchangeLimits] = {}

    def of(self, limits: TimeLimits, follow_redirects: bool | None = None) -> ExchangeLimits:
        """
        Return the limits of exchanges with these time limits.

        Args:
            limits: For each of them.
            follow_redirects: What the request itself says about it; None: nothing.
        """
        if follow_redirects is not None:
            return self._make(limits, follow_redirects)
        return self._made.get(limits) or self._keep(limits)

    def streamed(self, limits: TimeLimits) -> ExchangeLimits:
        """Return the limits of exchanges whose bodies are read behind their heads."""
        made = self._streamed.get(limits)
        if made is None:
            if len(self._streamed) > _MOST:
                self._streamed.clear()
            made = self._streamed[limits] = attrs.evolve(
                self.of(limits), max_body=NO_LIMIT, max_redirect_body=None, streams=True
            )
        return made

    def _keep(self, limits: TimeLimits) -> ExchangeLimits:
        if len(self._made) > _MOST:
            self._made.clear()
        exchange_limits = self._made[limits] = self._make(limits, self._follow_redirects)
        return exchange_limits

    def _make(self, limits: TimeLimits, follow_redirects: bool) -> ExchangeLimits:
        max_body = self._max_body if isinstance(limits.max_body, Unset) else limits.max_body
        max_redirect_body = longest_transfer(redirect_limit(max_body))
        return ExchangeLimits(
            max_body=NO_LIMIT if max_body is None else max_body,
            max_redirect_body=max_redirect_body if follow_redirects else None,
            connect_timeout=limits.connect,
            read_timeout=limits.read,
            write_timeout=limits.write,
            pool_timeout=limits.pool,
            minimum_rate=self._minimum_rate,
        )
