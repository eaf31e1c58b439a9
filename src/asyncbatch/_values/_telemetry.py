"""
The interface of listeners to the requests that batches send, such as `asyncbatch.telemetry`.

A request may be sent several times: by each attempt, and in one attempt after redirects and
challenges. The listener is told of each sending after its end, and before its beginning if the
listener adds header fields. Nothing here knows a library for telemetry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from asyncbatch._values._errors import FailureKind
    from asyncbatch._values._host_key import HostKey


class Telemetry(ABC):
    """Listens to the requests of batches: a value of the option `telemetry`."""

    @abstractmethod
    def listener(self, clock: Callable[[], float]) -> BatchListener:
        """Return a listener for one batch, whose times are on `clock`."""


class BatchListener(Protocol):
    """
    Listens to one batch. No method raises an `Exception`.

    Attributes:
        is_idle: Whether it needs no calls at all.
        carries: Whether it may add header fields to requests.
    """

    is_idle: bool
    carries: bool

    def capture_context(self) -> None:
        """Take the caller's context variables for the requests that follow."""
        ...

    def carries_to(self, origin: HostKey) -> bool:
        """Whether it adds header fields to requests to an origin."""
        ...

    def watch(self) -> AttemptWatch:
        """Return a watch for a worker, which sends one request after another."""
        ...


class AttemptWatch(Protocol):
    """
    Listens to the attempts of one worker, one at a time. No method raises an `Exception`.

    Attributes:
        is_open: Whether a sending has begun and has not ended.
        carries: Whether the request that was begun is to carry header fields.
        carried: The fields that it carries.
        resent: How often the request has been sent before.
    """

    is_open: bool
    carries: bool
    carried: Sequence[tuple[str, str]]
    resent: int

    def answered(
        self,
        method: str,
        origin: HostKey,
        url: str,
        head: tuple[int, bytes, object],
        at: tuple[float, float],
    ) -> None:
        """
        Note a request that was not told before it was sent, and has succeeded.

        Args:
            method: Its method.
            origin: Its origin.
            url: Its URL.
            head: The arguments of `head_received`.
            at: When sending it began, and when its response had arrived.
        """
        ...

    def sent(self, method: str, url: str, at: float | None = None) -> None:
        """
        Note that a request is sent, now or at a point in time.

        A request that was begun and has no response yet is the same one, sent in another way. One
        that has a response ends here.
        """
        ...

    def fields(self, present: Container[str]) -> Sequence[tuple[str, str]]:
        """Return the fields for the request that was begun, given the lower-case names it has."""
        ...

    def head_received(self, status: int, version: str | bytes, peer: object) -> None:
        """
        Note that the head of its response has come.

        Args:
            status: Its status.
            version: The protocol, such as `HTTP/1.1`.
            peer: The address at the other end of the connection, as sockets return it, if known.
        """
        ...

    def hop_ended(self, at: float) -> None:
        """Note that its response has ended, and leads to another request of the same attempt."""
        ...

    def attempt_ended(self, at: float, kind: FailureKind | None, error: Exception | None) -> int:
        """Note that the attempt has ended; return the number of requests that it has left."""
        ...

    def cancelled(self, at: float, kind: FailureKind | None) -> None:
        """Note that the attempt was cancelled; `kind` says why, `None` if not by a limit."""
        ...

    def silencing(self) -> AbstractContextManager[object]:
        """Return a context in which other instruments record nothing of the request."""
        ...
