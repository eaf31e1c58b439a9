"""
`Outbox`: sends requests back to back, at the end of a turn of the event loop.

An idle server sleeps, and waking it costs us more than writing to it. If each request of a busy
pool is sent as soon as it is ready, each one wakes the server. If they are sent together, only the
first one does. At 100 connections to a local nginx, the kernel's share of a request fell from 10-13
µs to 5-6 µs.

In a long turn, as one in which many tasks take a millisecond each to prepare their requests, they
are sent before its end, so that the server has something to do meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from asyncbatch._engine._event_loop import EventLoop
from asyncbatch._engine._exchange import NEVER
from asyncbatch._engine.io._readiness import Poll

WORTH_WAITING = 8
"""Exchanges in flight from which requests are delayed. With fewer, it costs more than it saves."""

MAX_DELAY = 0.005
"""Seconds after which a further request of the turn does not wait for others."""


class DelayedSender(Protocol):
    """An object with a request to send."""

    poll: Poll
    """Tells whether bytes have arrived that must be read before the request is sent."""

    def send_request(self) -> None:
        """Send the request now."""
        ...


class Outbox:
    """
    Makes senders send together, at the end of the turn.

    Just before, it reads all bytes that have arrived: they cannot be the answer to a request that
    was not sent yet. One call asks for all connections.
    """

    __slots__ = ("_look", "_loop", "send_by", "senders")

    def __init__(self, loop: EventLoop, look: Callable[[], None]) -> None:
        self._loop = loop
        self._look = look
        self.senders: deque[DelayedSender] = deque()
        """The senders of this turn. While there is one, others may be appended directly."""
        self.send_by = NEVER
        """When the senders are overdue: who appends another one then must call `send_overdue`."""

    def put(self, sender: DelayedSender, now: float) -> None:
        """Let `sender` send at the end of this turn, or before if the turn takes long."""
        if not self.senders:
            self._begin_delay(now)
        self.senders.append(sender)

    def _begin_delay(self, now: float) -> None:
        self.send_by = now + MAX_DELAY
        self._loop.call_soon(self._send_all)

    def send_overdue(self, now: float) -> None:
        """
        Send in the middle of a turn.

        No bytes are read here, where a callback could meet code that it does not expect. A sender
        that has some to read waits for the end of the turn.
        """
        overdue = self._take()
        try:
            while overdue:
                sender = overdue.popleft()
                if sender.poll(0):
                    self.put(sender, now)
                else:
                    sender.send_request()
        finally:
            self._put_back(overdue)

    def _send_all(self) -> None:
        if not self.senders:
            return  # they were overdue
        senders = self._take()
        try:
            # A sender that is added by `look` was not itself checked after the bytes that `look`
            # read.
            self._look()
            while senders:
                senders.popleft().send_request()
        finally:
            self._put_back(senders)

    def _take(self) -> deque[DelayedSender]:
        """Return the senders of this turn; others may be put while they send."""
        senders, self.senders = self.senders, deque()
        return senders

    def _put_back(self, left: deque[DelayedSender]) -> None:
        """Let those send later that are left since one before them has raised."""
        for sender in left:
            self.put(sender, monotonic())
