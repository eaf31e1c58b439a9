"""
What is above the lanes sees of one: a way in which attempts are carried out.
"""

from __future__ import annotations

from typing import Any, Protocol

from asyncbatch._lanes._relay import OnAnswer, Relay
from asyncbatch._lanes.client._binding import Binding
from asyncbatch._lanes.request._encoded_request import Encoded
from asyncbatch._runtime._event_loop import Clock
from asyncbatch._runtime._stalls import Stalls
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._proxy import Proxy
from asyncbatch._values._request import UNSET, Unset
from asyncbatch._values._timeouts import TimeLimits


class Lane(Protocol):
    """Carries out attempts on one client."""

    binding: Binding

    def take_part_in(self, stalls: Stalls) -> None:
        """Take part in keeping the time in which the loop stands still out of all accounts."""
        ...

    def begin_batch(self, clock: Clock) -> None:
        """Say that a batch begins, whose exchanges will come with `clock`."""
        ...

    def locate(self, item: object) -> Any:
        """
        Return the absolute URL of `item`, as the client will ask for it.

        Raises:
            Exception: If `item` is no request, or its URL is not one that can be fetched.
        """
        ...

    def encode(self, item: Any, limits: TimeLimits) -> Encoded | None:
        """
        Decide how `item` is sent: as what is returned, or by the client if that is `None`.

        Args:
            item: The request, in any form.
            limits: Those of the attempt.
        """
        ...

    async def exchange(
        self,
        item: object,
        encoded: Encoded | None,
        limits: TimeLimits,
        seconds: float | None,
        clock: Clock,
        left: float | None = None,
        route: Proxy | Unset | None = UNSET,
    ) -> Outcome:
        """
        Send `item` and return the outcome, within `seconds`; only cancellation is raised.

        The outcome of a response has its status, but no verdict on it.

        Args:
            item: The request, in any form.
            encoded: What `encode` has returned for it.
            limits: Those of its phases.
            seconds: The limit on all of it, but for waits in a pool that is not ours.
            clock: The batch's clock.
            left: The limit on all of it, those waits included.
            route: The proxy to go through, `None` for none; `UNSET`: what the request or the client
                says.
        """
        ...

    def relay(self, limits: TimeLimits, on_answer: OnAnswer) -> Relay | None:
        """Return a relay for encoded requests with these limits, if the lane has any."""
        ...
