"""
What tests of a batch need, without the internet: a server, faults and a clock.

`LoopbackServer` answers as scripted, from an event loop or a thread of this process.
"""

from __future__ import annotations

from ._behaviour import Answer, Behaviour, End, Raw, Reply, echo
from ._figures import ServerStatistics
from ._request import RecordedRequest
from ._server import LoopbackServer

__all__ = [
    "Answer",
    "Behaviour",
    "End",
    "LoopbackServer",
    "Raw",
    "RecordedRequest",
    "Reply",
    "ServerStatistics",
    "echo",
]
