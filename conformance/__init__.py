r"""
The conformance table: what servers do on the wire, and what a client must make of it.

A `Case` is a plain value: a request, what the server does (a script of steps for each
connection), and what is expected. `ScriptedServer` plays cases over raw sockets in a thread of its
own, each on a port of its own, so that clients of every kind can be driven from the same process.
`play` runs one case against one client and returns a `Report`.

    from conformance import Case, Delivery, ScriptedServer, fails, ok, play

    CASE = Case(
        name="a length with a sign",
        source="RFC 9110 §8.6",
        script=answer(b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi"),
        expected=fails("protocol"),
    )

    with ScriptedServer() as server:
        report = await play(CASE, client, server, Delivery.WHOLE)
        assert report.problems == []

**Steps** (`_steps.py`): `ReadRequest`, `ReadHead`, `Send` (cut as the delivery says, or never),
`Flood`, `Pause`, `UntilOutcome`, `HalfClose`, `Close`, `Reset`. A script is a tuple of them;
`answer(wire)` reads the request and sends, `answer(wire, Close())` closes after it. When a script
has ended the connection is held open, and every canary that comes is answered. In what is sent,
`%PORT%` stands for the server's port and `%OTHER%` for that of a second origin (`Case.other`).

**Expectations** (`_expected.py`): `ok(body, status=200, headers=...)`, `fails("protocol", ...)`
with the kinds that are right, `either(..., reason=...)` where both are.

**Deliveries** (`_delivery.py`): whole, byte by byte, after each line, inside each line end, in
halves. The outcome must be the same in all of them.

**Canary**: after each case the same client asks the same origin for `/canary/<number>`, and must
get the answer to that and no other. Whether it came on the case's connection is compared with
`Case.reuse`.

**Clients** (`clients/`): an adapter is an object with a `name` and
`async fetch(url, request) -> Outcome`, which never raises; `Blocking` makes one of a function that
blocks. Each is opened with the server's `Trust`, whose authority it must trust. An `Outcome` is
neutral: status, body and headers, or a kind of failure in the words of `asyncbatch.FailureKind`
(None where the client does not tell), with the error's own text. A status of 400 or above is an
answer, not a failure.
"""

from __future__ import annotations

from ._case import Case, Hop, Request, Reuse
from ._delivery import Delivery, cut
from ._expected import Expected, either, fails, ok
from ._outcome import Outcome
from ._play import Blocking, Client, Report, applies, play, play_all
from ._run_state import Run
from ._server import ScriptedServer
from ._steps import (
    Close,
    Drip,
    Flood,
    HalfClose,
    Pause,
    ReadHead,
    ReadRequest,
    Reset,
    Script,
    Send,
    Step,
    UntilOutcome,
    answer,
)
from ._trust import Trust

__all__ = [
    "Blocking",
    "Case",
    "Client",
    "Close",
    "Delivery",
    "Drip",
    "Expected",
    "Flood",
    "HalfClose",
    "Hop",
    "Outcome",
    "Pause",
    "ReadHead",
    "ReadRequest",
    "Report",
    "Request",
    "Reset",
    "Reuse",
    "Run",
    "Script",
    "ScriptedServer",
    "Send",
    "Step",
    "Trust",
    "UntilOutcome",
    "answer",
    "applies",
    "cut",
    "either",
    "fails",
    "ok",
    "play",
    "play_all",
]
