"""
Happy eyeballs (RFC 8305): tries the addresses of a name with a head start each, uses the first.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from itertools import zip_longest

from asyncbatch._engine._event_loop import Task, cancelled_class, first_done, running_loop
from asyncbatch._engine.connect._resolver import Address

HEAD_START = 0.25
"""Seconds until the next attempt begins beside an unfinished one (RFC 8305 §5)."""


MAX_SILENT = 16
"""Most addresses that are tried at the same time; one that refuses makes room for the next."""
MAX_NOTES = 16
"""Most errors of further addresses that are added as notes."""


def interleave(addresses: list[Address]) -> list[Address]:
    """Alternate the address families, beginning with the system's first choice (RFC 8305 §4)."""
    first = [one for one in addresses if one.family == addresses[0].family]
    others = [one for one in addresses if one.family != addresses[0].family]
    return [one for pair in zip_longest(first, others) for one in pair if one is not None]


async def race(
    addresses: list[Address],
    connect: Callable[[Address], Awaitable[socket.socket]],
    on_silent: Callable[[list[Address]], object],
) -> socket.socket:
    """
    Connect to the address that answers first.

    Args:
        addresses: The addresses, roughly in the order in which to try them.
        connect: Opens a socket to an address.
        on_silent: Called at the end with the addresses that did not answer within their head start.

    Raises:
        OSError: None answered; the error of the first one to fail, with the others as notes.
    """
    if len(addresses) == 1:
        return await _connect_to_one(addresses[0], connect, on_silent)
    return await _Race(interleave(addresses), connect, on_silent).run()


async def _connect_to_one(
    address: Address,
    connect: Callable[[Address], Awaitable[socket.socket]],
    on_silent: Callable[[list[Address]], object],
) -> socket.socket:
    time = running_loop().time
    begun_at = time()
    try:
        return await connect(address)
    except cancelled_class():
        if time() - begun_at >= HEAD_START:
            on_silent([address])
        raise


class _Race:
    def __init__(
        self,
        addresses: list[Address],
        connect: Callable[[Address], Awaitable[socket.socket]],
        on_silent: Callable[[list[Address]], object],
    ) -> None:
        self._todo = addresses[::-1]
        self._connect = connect
        self._on_silent = on_silent
        # Each attempt with its address, and when it began.
        self._running: dict[Task[socket.socket], tuple[Address, float]] = {}
        self._errors: list[OSError] = []
        self._loop = running_loop()
        self._time = self._loop.time

    async def run(self) -> socket.socket:
        try:
            while self._todo or self._running:
                if self._has_next:
                    address = self._todo.pop()
                    task = self._loop.create_task(_as_coroutine(self._connect, address))
                    self._running[task] = (address, self._time())
                winner = await self._wait()
                if winner is not None:
                    return winner
        finally:
            self._cancel_rest()
        first, *others = self._errors
        for other in others[:MAX_NOTES]:
            first.add_note(f"also tried: {other}")
        if len(others) > MAX_NOTES:
            first.add_note(f"and {len(others) - MAX_NOTES} more")
        raise first

    @property
    def _has_next(self) -> bool:
        return bool(self._todo) and len(self._running) < MAX_SILENT

    async def _wait(self) -> socket.socket | None:
        """Wait for a success, a failure that makes room, or the end of the head start."""
        done = await first_done(self._running, HEAD_START if self._has_next else None)
        winner: socket.socket | None = None
        for task in done:
            del self._running[task]
            error = task.exception()
            if error is None:
                # If two succeed at once, only one is needed.
                if winner is not None:
                    winner.close()
                winner = task.result()
            elif isinstance(error, OSError):
                self._errors.append(error)
            else:
                raise error
        return winner

    def _cancel_rest(self) -> None:
        silent_since = self._time() - HEAD_START
        silent = [one for one, begun_at in self._running.values() if begun_at <= silent_since]
        if silent:
            self._on_silent(silent)
        for task in self._running:
            task.add_done_callback(_close_late_winner)
            task.cancel()
        self._running = {}


async def _as_coroutine(
    connect: Callable[[Address], Awaitable[socket.socket]], address: Address
) -> socket.socket:
    return await connect(address)


def _close_late_winner(task: Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
