"""
Bound the work within one turn of an event loop, over all its requests and bodies.

Decoding a small body, or sending a request through httpx, takes a fraction of a millisecond; a
hundred that arrive together block the loop for long. The work is counted in bytes, not in time, so
it does not depend on the load of the machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import anyio.lowlevel

CallSoon: TypeAlias = Callable[..., object]

AT_ONCE = 1024 * 1024
"""Decoded bytes for one turn, which take some 2 to 4 ms."""

FIXED = 4 * 1024
"""The cost of a body in addition to its bytes."""

EXCHANGE = 124 * 1024
"""The cost of building and sending a request in httpx, or of reading its response: as many bytes as
are decoded in a third of a millisecond."""

TAKEN = 8 * 1024
"""The cost of taking a body that our engine has received whole."""


class LoopTurn:
    """
    The rest of the current turn of one event loop.

    Attributes:
        left: bytes that may still be decoded; the last body may exceed it.
    """

    __slots__ = ("__weakref__", "_is_ending", "_waiting", "left")

    def __init__(self) -> None:
        self.left = AT_ONCE
        # Whether `_renew` is to be called in the next turn.
        self._is_ending = False
        # What waits for a later turn: functions, and what each is called with. One call of the
        # event loop for all of them costs less than one for each.
        self._waiting: deque[tuple[Callable[[Any], object], Any]] = deque()

    def spend(self, nbytes: int, call_soon: CallSoon) -> None:
        """Note that bytes have been decoded; `call_soon` is the event loop's."""
        self.left -= FIXED + nbytes
        if not self._is_ending:
            self._renew_soon(call_soon)

    def put_off(
        self, function: Callable[[Any], object], argument: Any, call_soon: CallSoon
    ) -> None:
        """Call a function in a later turn, of which something is left; first in, first out."""
        self._waiting.append((function, argument))
        if not self._is_ending:
            self._renew_soon(call_soon)

    def _renew_soon(self, call_soon: CallSoon) -> None:
        self._is_ending = True
        call_soon(self._renew, call_soon)

    def _renew(self, call_soon: CallSoon) -> None:
        self.left = AT_ONCE
        self._is_ending = False
        waiting = self._waiting
        try:
            # What is put off again waits for another turn.
            for _ in range(len(waiting)):
                if self.left <= 0:
                    break
                function, argument = waiting.popleft()
                function(argument)
        finally:
            if waiting and not self._is_ending:
                self._renew_soon(call_soon)


_turns: WeakKeyDictionary[Any, LoopTurn] = WeakKeyDictionary()


def turn_here() -> tuple[LoopTurn, CallSoon]:
    """Return the turn of the running event loop, and its function to call in the next turn."""
    loop: Any = anyio.lowlevel.current_token().native_token
    turn = _turns.get(loop)
    if turn is None:
        turn = _turns[loop] = LoopTurn()
    return turn, getattr(loop, "call_soon", None) or loop.run_sync_soon


class LoopTurns:
    """The turns of the running event loop; make one for each batch, since a look-up takes long."""

    __slots__ = ("_call_soon", "_turn")

    def __init__(self) -> None:
        self._turn, self._call_soon = turn_here()

    def spend_nowait(self, nbytes: int) -> bool:
        """Spend `nbytes` of this turn; return `False` if nothing of it is left."""
        if self._turn.left <= 0:
            return False
        self._turn.spend(nbytes, self._call_soon)
        return True

    async def spend(self, nbytes: int) -> None:
        """Wait for a turn with something left, and spend `nbytes` of it."""
        while not self.spend_nowait(nbytes):
            await anyio.lowlevel.checkpoint()
