"""
Happy eyeballs (RFC 8305): try the addresses of a name with a head start each, keep the first.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from itertools import zip_longest

from asyncbatch._transport._resolver import Address

HEAD_START = 0.25
"""Seconds an attempt has for itself before the next one joins (RFC 8305 §5)."""


def interleave(addresses: list[Address]) -> list[Address]:
    """Alternate the families, the system's first choice first (RFC 8305 §4)."""
    first = [one for one in addresses if one.family == addresses[0].family]
    others = [one for one in addresses if one.family != addresses[0].family]
    return [one for pair in zip_longest(first, others) for one in pair if one is not None]


async def race(
    addresses: list[Address], connect: Callable[[Address], Awaitable[socket.socket]]
) -> socket.socket:
    """
    Connect to whichever address answers first.

    Raises:
        OSError: none answered; that of the first address, with the others as notes.
    """
    if len(addresses) == 1:
        return await connect(addresses[0])
    return await _Race(interleave(addresses), connect).run()


class _Race:
    def __init__(
        self, addresses: list[Address], connect: Callable[[Address], Awaitable[socket.socket]]
    ) -> None:
        self._todo = addresses[::-1]
        self._connect = connect
        self._running: set[asyncio.Task[socket.socket]] = set()
        self._errors: list[OSError] = []

    async def run(self) -> socket.socket:
        try:
            while self._todo or self._running:
                if self._todo:
                    address = self._todo.pop()
                    self._running.add(asyncio.ensure_future(_as_coroutine(self._connect, address)))
                winner = await self._wait()
                if winner is not None:
                    return winner
        finally:
            await self._cancel_rest()
        first, *others = self._errors
        for other in others:
            first.add_note(f"also tried: {other}")
        raise first

    async def _wait(self) -> socket.socket | None:
        """Wait for the first to succeed, a failure that frees the way, or the head start."""
        done, self._running = await asyncio.wait(
            self._running,
            timeout=HEAD_START if self._todo else None,
            return_when=asyncio.FIRST_COMPLETED,
        )
        winner: socket.socket | None = None
        for task in done:
            error = task.exception()
            if error is None:
                # Two at once: one is enough.
                if winner is not None:
                    winner.close()
                winner = task.result()
            elif isinstance(error, OSError):
                self._errors.append(error)
            else:
                raise error
        return winner

    async def _cancel_rest(self) -> None:
        for task in self._running:
            task.add_done_callback(_close_late_winner)
            task.cancel()
        self._running = set()


async def _as_coroutine(
    connect: Callable[[Address], Awaitable[socket.socket]], address: Address
) -> socket.socket:
    return await connect(address)


def _close_late_winner(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
