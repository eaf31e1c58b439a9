"""
How the loopback server delivers an answer: frozen values that compose.

Pure: a behaviour is turned into a sequence of steps. `ServerConnection` sends, sleeps and closes;
`Routes` picks the behaviour of a request.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Literal, Self

import attrs

from ._request import RecordedRequest


class End(enum.Enum):
    """What the server does with the connection after an answer."""

    KEEP = "keep"
    """Keep it open for the next request."""
    CLOSE = "close"
    """Close it in good order; under TLS, with a close_notify."""
    CUT = "cut"
    """Close it with a FIN only; under TLS, this is a truncation."""
    RESET = "reset"
    """Close it with a RST."""
    HANG = "hang"
    """Keep it open and silent until the client or the server closes it."""


Step = bytes | float | End
"""Bytes to send, seconds to wait, or the end of this answer."""


@attrs.frozen
class Break:
    """A position in the response at which the connection ends early."""

    end: End
    part: Literal["head", "body"] = "head"
    after: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    """Bytes of that part that are sent before."""


@attrs.frozen
class Pace:
    """A slow delivery: `size` bytes, a wait of `every` seconds, and so on."""

    size: int = attrs.field(validator=attrs.validators.ge(1))
    every: float = attrs.field(validator=attrs.validators.ge(0))
    head: bool = False
    """Whether the head is slow too."""


@attrs.frozen(kw_only=True)
class Behaviour(ABC):
    """
    How an answer is delivered. `Reply` and `Raw` add its content.

    Every method returns a copy, and they compose in any order:
    `Reply(body=1_000).delayed(0.2).paced(100, every=0.1)`. Lengths are in bytes, times in seconds
    on the event loop's clock.
    """

    delay: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    """Seconds before the first byte."""
    jitter: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    """Maximum of the additional seconds, drawn from the server's seed for each request."""
    pace: Pace | None = None
    fault: Break | None = None

    def delayed(self, delay: float, *, jitter: float = 0.0) -> Self:
        """Wait before the first byte: `delay` seconds, and up to `jitter` more."""
        return attrs.evolve(self, delay=delay, jitter=jitter)

    def paced(self, size: int, *, every: float, head: bool = False) -> Self:
        """Send the body (and with `head=True` the head too) `size` bytes at a time."""
        return attrs.evolve(self, pace=Pace(size, every, head))

    def reset(self, *, head: int | None = None, body: int | None = None) -> Self:
        """Send a RST: before the response, after `head` bytes, or after the head and `body` bytes.

        Bytes of the body are counted as transferred, after coding and chunking.
        """
        return attrs.evolve(self, fault=_break(End.RESET, head, body))

    def cut(self, *, head: int | None = None, body: int | None = None) -> Self:
        """Send a FIN at the place that `reset` describes."""
        return attrs.evolve(self, fault=_break(End.CUT, head, body))

    def hang(self, *, head: int | None = None, body: int | None = None) -> Self:
        """Stop sending at the place that `reset` describes, and keep the connection open."""
        return attrs.evolve(self, fault=_break(End.HANG, head, body))

    def steps(self, request: RecordedRequest, draw: float = 0.0) -> Iterator[Step]:
        """Return the steps that answer `request`, in order; the last one is an `End`.

        Args:
            request: The request to answer.
            draw: A random number from 0 to 1, which scales `jitter`.
        """
        head, body, end = self._wire(request)
        if self.fault is not None:
            head, body, end = _broken(head, body, self.fault)
        return self._delivery(head, body, end, self.delay + draw * self.jitter)

    def _delivery(self, head: bytes, body: bytes, end: End, wait: float) -> Iterator[Step]:
        if wait:
            yield wait
        if self.pace is None:
            yield head + body
        elif self.pace.head:
            yield from _slowly(head + body, self.pace)
        else:
            yield head
            yield from _slowly(body, self.pace)
        yield end

    @abstractmethod
    def _wire(self, request: RecordedRequest) -> tuple[bytes, bytes, End]:
        """Return the head, the body and the end of the answer without any fault."""
        ...


Answer = Behaviour | Callable[[RecordedRequest], Behaviour]
"""A behaviour, or a function that returns one for a request; not `async`, and not blocking."""


def _break(end: End, head: int | None, body: int | None) -> Break:
    if head is not None and body is not None:
        raise ValueError(f"give head or body, not both: head={head}, body={body}")
    return Break(end, "head", head or 0) if body is None else Break(end, "body", body)


def _broken(head: bytes, body: bytes, fault: Break) -> tuple[bytes, bytes, End]:
    if fault.part == "head":
        return head[: fault.after], b"", fault.end
    return head, body[: fault.after], fault.end


def _slowly(content: bytes, pace: Pace) -> Iterator[Step]:
    for start in range(0, len(content), pace.size):
        if start:
            yield pace.every
        yield content[start : start + pace.size]
