"""
The state of an attempt through a client, by which a failure is judged.
"""

from __future__ import annotations

from typing import Any

from asyncbatch._lanes.response._phases import PhaseTrace
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._outcome import Outcome

_SILENT = (FailureKind.connect, FailureKind.dns, FailureKind.tls, FailureKind.timeout)


class AttemptState:
    """The present step of an attempt, by which a failure is judged; updated by the lane."""

    __slots__ = (
        "forwarded_by",
        "hooked",
        "hops",
        "in_body",
        "queued",
        "redirected",
        "request",
        "sent",
        "trace",
    )

    def __init__(self, trace: PhaseTrace) -> None:
        self.trace = trace
        self.request: Any = None  # the one in progress; None before the first is built
        self.hops = 0  # responses received so far
        self.sent = False  # whether it has been passed to the client
        self.queued = False  # whether it waits to be admitted to the client's pool
        self.hooked = False  # whether sending it calls the caller's code
        self.in_body = False  # whether the head of its response has arrived
        self.forwarded_by: str | None = None  # the proxy that it was passed to, if any
        self.redirected = False  # whether a redirect led to it

    def note_request(self, request: Any) -> None:
        """Note that `request` is in progress."""
        self.request = request
        self.sent = self.in_body = False

    @property
    def heard(self) -> bool | None:
        """
        Whether a byte of a response has come; `None` if unknown.

        Time spent in the caller's code (a hook, a body that is produced while it is sent), or
        waiting to be admitted to the pool, says nothing about the server.
        """
        trace = self.trace
        if self.hops or self.in_body or trace.heard:
            return True
        if not self.sent or self.queued or (self.hooked and not trace.has_begun):
            return None
        if not getattr(self.request.stream, "is_read", True):
            return None
        return False

    def is_target_silent(self, outcome: Outcome) -> bool:
        """
        Whether a redirect led to a host that has not answered.

        `False` in doubt: a wait of our own, the caller's code on the way, a certificate.
        """
        if not (self.hops and self.redirected and self.sent) or outcome.local or outcome.permanent:
            return False
        if outcome.of_proxy:
            return False
        if self.queued or self.hooked or self.in_body or outcome.kind not in _SILENT:
            return False
        return bool(getattr(self.request.stream, "is_read", True)) and not self.trace.heard_last
