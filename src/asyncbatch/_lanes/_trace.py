"""
Phase times from httpcore's trace events.

One recorder per attempt, passed as the request extension `trace`; every hop of the attempt reports
to it. A transport that is not httpcore's reports nothing, and then nothing is known.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asyncbatch._clock import Clock
from asyncbatch._timing import Timing

TraceFunction = Callable[[str, dict[str, Any]], Awaitable[None]]

# Event, without its prefix (`connection`, `http11`, `http2`), to phase. httpcore resolves the name
# inside `connect_tcp`, and says nothing of it: `connect` has both, and `dns` stays None.
_PHASES = {
    "connect_tcp": "connect",
    "connect_unix_socket": "connect",
    "start_tls": "tls",
    "send_request_headers": "send",
    "send_request_body": "send",
    "receive_response_headers": "wait",
    "receive_response_body": "receive",
}


class PhaseTrace:
    """Adds up the seconds of each phase over the hops of one attempt."""

    def __init__(self, clock: Clock, chained: TraceFunction | None = None) -> None:
        self._clock = clock
        self._chained = chained
        self._seconds: dict[str, float] = {}
        # When the phase under way began, by the name of its event.
        self._open: dict[str, float] = {}
        self.connecting = False
        """Whether a connection was being made when the last event came."""

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        """Take one event (httpcore asks for a coroutine function)."""
        _, _, rest = event.partition(".")
        name, _, state = rest.rpartition(".")
        phase = _PHASES.get(name)
        if phase is not None:
            self._note(name, phase, state)
        if self._chained is not None:
            await self._chained(event, info)

    def _note(self, name: str, phase: str, state: str) -> None:
        now = self._clock()
        if state == "started":
            self._open[name] = now
            self.connecting = phase in ("connect", "tls")
            return
        spent = now - self._open.pop(name, now)
        self._seconds[phase] = self._seconds.get(phase, 0.0) + spent
        if state == "complete":
            self.connecting = False

    def timing(self) -> Timing:
        """Return what is known; `queued` and `throttled` are the batch's to add."""
        return Timing(**self._seconds)
