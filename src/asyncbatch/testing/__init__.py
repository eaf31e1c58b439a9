"""
Tools to test code that fetches, without the internet: a server, faults and a clock.

`LoopbackServer` gives scripted answers over real sockets, on the event loop of the test or in a
thread. `FaultTransport` makes any httpx transport fail, without a socket. `FakeClock` makes
asyncio's time virtual, so that waits take no real time. The three can be combined. `success` and
`failure` make results by hand.
"""

from __future__ import annotations

from asyncbatch._values._pickling import publish

from ._behaviour import Answer, Behaviour, Break, End, Pace
from ._clock import FakeClock
from ._faults import EFFECTS, Fault
from ._made import failure, success
from ._reply import Raw, Reply, echo
from ._request import RecordedRequest
from ._server import LoopbackServer
from ._statistics import ServerStatistics
from ._transport import FaultTransport

__all__ = [
    "Answer",
    "Behaviour",
    "End",
    "FakeClock",
    "Fault",
    "FaultTransport",
    "LoopbackServer",
    "Raw",
    "RecordedRequest",
    "Reply",
    "ServerStatistics",
    "echo",
    "failure",
    "success",
]

publish(globals(), Break, Pace, *EFFECTS)
del Break, Pace, EFFECTS, publish
