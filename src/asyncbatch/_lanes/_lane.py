"""
The interface of a lane to the layers above.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from asyncbatch._lanes._file_relay import NewFileRelay
from asyncbatch._lanes._relay import Relays
from asyncbatch._lanes.client._binding import Binding
from asyncbatch._lanes.request._encoded_request import Encoded, Plain
from asyncbatch._runtime._event_loop import Clock
from asyncbatch._runtime._stalls import Stalls
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._proxy import Proxy
from asyncbatch._values._request import UNSET, Request, Unset
from asyncbatch._values._sink import Sink
from asyncbatch._values._telemetry import AttemptWatch
from asyncbatch._values._timeouts import TimeLimits


class Lane(Protocol):
    """Carries out attempts on one client."""

    binding: Binding

    @property
    def default_encoding(self) -> Any:
        """The encoding of texts whose response names none, or the function that finds it."""
        ...

    def take_part_in(self, stalls: Stalls) -> None:
        """Register with `stalls`, to subtract blocked time of the event loop from measurements."""
        ...

    def tell_of_errors(self, on_error: Callable[[BaseException], bool]) -> None:
        """Call `on_error` with errors of callbacks; it returns whether a batch ends with them."""
        ...

    def begin_batch(self, clock: Clock) -> None:
        """Prepare for a batch whose exchanges use `clock`."""
        ...

    def locate(self, item: object) -> Any:
        """
        Return the absolute URL of `item`, as the client will request it.

        Raises:
            Exception: If `item` is not a request, or its URL cannot be fetched.
        """
        ...

    def encode(self, item: Any, limits: TimeLimits) -> Encoded | None:
        """
        Return `item` as the engine sends it, or `None` if the client must send it.

        Args:
            item: The request, in any form.
            limits: The time limits of the attempt.
        """
        ...

    def encode_for_file(self, url: str, tried: Request | str, limits: TimeLimits) -> Plain | None:
        """
        Return the GET of a plain URL whose body goes to a file, as the engine sends it.

        It does the same as `encode(tried, limits)`, faster, or returns `None` where that is to be
        called.

        Args:
            url: The request as it was given.
            tried: The same request with the one field that asks for a body that is not encoded;
                for a file relay `url`, because it is told of that request only if it needs it.
            limits: The time limits of the attempt.
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
        sink: Sink | None = None,
        watch: AttemptWatch | None = None,
    ) -> Outcome:
        """
        Send `item` and return the outcome, within `seconds`; only cancellation is raised.

        The outcome of a response has its status, but is not judged by it.

        Args:
            item: The request, in any form.
            encoded: What `encode` has returned for it.
            limits: The limits of its phases.
            seconds: The limit on the attempt, without waits in a pool that is not ours.
            clock: The batch's clock.
            left: The limit on the attempt with those waits.
            route: The proxy to go through; `None` for a direct connection, `UNSET` for the proxy
                of the request or the client.
            sink: Takes the body of the final response, unless it refuses it. It is not closed.
            watch: Is told of each request that is sent.
        """
        ...

    def relays(self, limits: TimeLimits) -> Relays | None:
        """Return what makes relays for encoded requests with these limits, if the lane has any."""
        ...

    def file_relays(self, limits: TimeLimits, longest: int) -> NewFileRelay | None:
        """
        Return what makes file relays for what `encode_for_file` returns, if the lane has any.

        Args:
            limits: The time limits of each request, as `for_files` makes them.
            longest: Most bytes of a body that a file relay hands over.
        """
        ...

    def close(self) -> None:
        """Free what is kept for further batches, after the last one."""
        ...
