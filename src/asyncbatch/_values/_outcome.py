"""
The outcome of one attempt: what a lane hands up and the policies look at.

A value without behaviour; made once per attempt, so plain slots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from asyncbatch._values._timing import Course, Timing

if TYPE_CHECKING:
    import httpx

    from asyncbatch._values._errors import FailureKind

NO_TIMING = Timing()


@attrs.define(eq=False)
class Outcome:
    """How one attempt ended."""

    response: Any = None
    """The complete response, of whatever status: an `httpx.Response`, or what builds one."""
    content: bytes = b""
    """Its decoded body."""
    error: Exception | None = None
    """Why it failed; `None` if `kind` is, or says that the response does (`status`)."""
    kind: FailureKind | None = None
    """`None`: it succeeded."""
    timing: Timing | Course = NO_TIMING
    """The phases on the network; `queued` and `throttled` are left to the batch."""
    status_code: int | None = None
    """The response's status."""
    retry_after: float | None = None
    """Seconds, from a valid `Retry-After`."""
    connect_failed: bool = False
    """No connection could be made: by name, address, handshake or time."""
    local: bool = False
    """Our own side failed (no free place in the pool): says nothing about the server."""
    undone: bool = False
    """The server has refused it by 429, or 503 with `Retry-After`: nothing was done."""
    wish: bool | float | None = None
    """What `Retry.when` said."""
    permanent: bool = False
    """Another try cannot end otherwise: a certificate that does not verify, a name that is not."""
    is_spent: bool = False
    """Its body cannot be sent again."""
    heard: bool | None = None
    """
    Where there is no response: whether a byte of one came. `None`: it cannot be told, or the server
    has nothing to do with it.
    """
    target_silent: bool = False
    """Whether a redirect led to where not a byte of an answer came from; `url` is there."""
    url: httpx.URL | None = None
    """The URL it ended at, if it got as far as having one."""
    cut: bool = False
    """Our own limit on the whole attempt ended it, not one of a phase."""
    queued: float = 0.0
    """Seconds of the attempt in which it waited for a connection of a pool that is not ours."""
    started_at: float = 0.0
    """When the attempt began, on the batch's clock."""

    @property
    def is_answer(self) -> bool:
        """Has the server answered, whatever it was?"""
        return self.status_code is not None or self.heard is True

    @property
    def is_silent(self) -> bool:
        """Has the server, or the way to it, left the request without a byte of an answer?"""
        return self.connect_failed or self.heard is False

    def of_target(self) -> Outcome:
        """Return what a silent attempt says of the host that its redirect led to."""
        return Outcome(
            kind=self.kind, permanent=self.permanent, heard=False, started_at=self.started_at
        )
