"""
The outcome of one attempt: a lane returns it, and the policies judge it.

A value without behaviour, made once per attempt, so with plain slots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from asyncbatch._values._timing import Course, Timing

if TYPE_CHECKING:
    import httpx

    from asyncbatch._values._errors import FailureKind
    from asyncbatch._values._sink import Saved

NO_TIMING = Timing()


@attrs.define(eq=False)
class Outcome:
    """How one attempt ended."""

    response: Any = None
    """The complete response of any status: an `httpx.Response`, or an object that builds one."""
    content: bytes = b""
    """The decoded body."""
    error: Exception | None = None
    """Why it failed; `None` if `kind` is `None` or `status`."""
    kind: FailureKind | None = None
    """The kind of failure; `None` for a success."""
    timing: Timing | Course = NO_TIMING
    """The phases on the network; the batch adds `queued` and `throttled`."""
    status_code: int | None = None
    """The response's status."""
    retry_after: float | None = None
    """Seconds, from a valid `Retry-After`."""
    connect_failed: bool = False
    """No connection was made: resolving, connecting or the handshake failed or took too long."""
    local: bool = False
    """The failure is on our side (no free place in the pool) and says nothing about the server."""
    undone: bool = False
    """The server refused it with 429, or 503 with `Retry-After`, and did not carry it out."""
    wish: bool | float | None = None
    """What `Retry.when` returned."""
    of_proxy: bool = False
    """
    A proxy has failed, not the host: that counts against neither the host nor its budget.
    """
    forwarded_by: str | None = None
    """The proxy, without credentials, that was handed the whole request, and so may have answered
    it itself."""
    again: bool = False
    """Another try differs from this one and begins at once, by any retry policy: without
    the range that was refused, without the bytes that were wrong."""
    saved: Saved | None = None
    """The file that the body is in."""
    permanent: bool = False
    """Another try would end the same: the certificate does not verify, the name does not exist."""
    is_spent: bool = False
    """The request's body cannot be sent again."""
    heard: bool | None = None
    """
    If there is no response: whether any byte of one came. `None` if that is unknown, or the server
    is not involved.
    """
    target_silent: bool = False
    """A redirect led to a host (that of `url`) which did not send a byte of an answer."""
    url: httpx.URL | None = None
    """The URL it ended at; `None` if it ended before it had one."""
    cut: bool = False
    """The limit on the whole attempt ended it, not the limit of a phase."""
    queued: float = 0.0
    """Seconds of the attempt spent waiting for a connection of a pool that is not ours."""
    started_at: float = 0.0
    """When the attempt began, on the batch's clock."""

    @property
    def is_answer(self) -> bool:
        """Whether the server sent at least a byte of an answer."""
        return self.status_code is not None or self.heard is True

    @property
    def is_silent(self) -> bool:
        """Whether the request got no byte of an answer, from the server or from the way to it."""
        return self.connect_failed or self.heard is False

    def of_target(self) -> Outcome:
        """Return the outcome to record for the silent host that a redirect led to."""
        return Outcome(
            kind=self.kind, permanent=self.permanent, heard=False, started_at=self.started_at
        )
