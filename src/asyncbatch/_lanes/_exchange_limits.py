"""
The engine's limits for the exchanges of the direct lane.
"""

from __future__ import annotations

import attrs

from asyncbatch._engine import ExchangeLimits
from asyncbatch._engine.http11 import NO_LIMIT, longest_transfer
from asyncbatch._lanes.response._body import redirect_limit
from asyncbatch._values._request import Unset
from asyncbatch._values._timeouts import TimeLimits

_MOST = 100
"""How many limits are kept: one for each different timeout of a request."""


class ExchangeLimitsCache:
    """
    The `ExchangeLimits` of one lane, made once for all requests with the same time limits.

    Args:
        max_body: Most bytes of a decoded body; None for no limit.
        follow_redirects: Whether redirects are followed if the request does not say.
        minimum_rate: Bytes per second below which a body is given up.
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
            limits: Those of the request.
            follow_redirects: Whether the request says to follow redirects; None if it does not say.
        """
        if follow_redirects is not None:
            return self._make(limits, follow_redirects)
        return self._made.get(limits) or self._keep(limits)

    def streamed(self, limits: TimeLimits) -> ExchangeLimits:
        """Return the limits of exchanges whose bodies are read after the response hooks."""
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
