"""
The state of one case while it is played: its addresses, and what the server has seen.

Written by the server's thread, and read by others when the run has settled.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque

from ._case import Case
from ._delivery import Delivery
from ._steps import ReadRequest, Script, Step

_numbers = itertools.count(1)


class Run:
    """
    One case being played: its addresses, and what the server has seen.

    Attributes:
        requests: what came at the first origin, canaries left out.
        other_requests: what came at the second one.
        canaries: the connection on which each canary was answered, by its path.
        case_connection: the number of the connection that the script began on; None before that.
    """

    def __init__(
        self, case: Case, delivery: Delivery, scheme: str, ports: dict[bytes, int]
    ) -> None:
        self.case = case
        self.delivery = Delivery.WHOLE if case.exact else delivery
        self.ports = ports
        self.url = f"{scheme}://{case.host}:{ports[b'%PORT%']}"
        self.number = next(_numbers)
        self.requests: list[bytes] = []
        self.other_requests: list[bytes] = []
        self.canaries: dict[str, int] = {}
        self.case_connection: int | None = None
        # Of `Case.by_request`: what is to be done for the requests to come, at each origin.
        self.turns = (_turns(case.scripts[0]), _turns(case.other))
        self.warm_left = case.warm
        self.connections = 0
        # Connections that are at a step which is not a wait for the client.
        self.busy = 0
        self.awaiting_outcome = 0
        self.is_told = False
        self.told = asyncio.Event()

    def script_for(self, number: int) -> Script:
        """Return what to do on a connection, counted from 0 behind the warm ones."""
        scripts = self.case.scripts
        return scripts[min(number, len(scripts) - 1)]

    def fill_in(self, content: bytes) -> bytes:
        """Put the ports in the place of their names."""
        if b"%" in content:
            for name, port in self.ports.items():
                content = content.replace(name, b"%d" % port)
        return content

    def canary_path(self, order: int) -> str:
        """Return a path that nobody else asks for."""
        return f"/canary/{self.number}-{order}"

    @property
    def is_quiet(self) -> bool:
        """Whether nothing more comes from the server unless the client does something."""
        return self.busy == 0

    @property
    def is_settled(self) -> bool:
        """Whether the server knows of the outcome, and has done all that the script says."""
        return self.is_told and self.busy == 0

    def note_outcome(self) -> None:
        """Take note that the client is done; called in the server's thread."""
        self.busy += self.awaiting_outcome
        self.awaiting_outcome = 0
        self.is_told = True
        self.told.set()


def _turns(script: Script) -> deque[Script]:
    """Split a script into what is done for each request."""
    turns: list[list[Step]] = []
    for step in script:
        if isinstance(step, ReadRequest):
            turns.append([])
        elif turns:
            turns[-1].append(step)
    return deque(map(tuple, turns))
