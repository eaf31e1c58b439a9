"""
The scripted server behind gateways: the same cases over HTTP/2.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import socket
import ssl
from collections.abc import Iterator

import attrs

from conformance._case import Case
from conformance._delivery import Delivery
from conformance._run_state import Run
from conformance._server import ScriptedServer
from conformance._steps import Flood, Script, Send
from conformance._trust import HOST

from ._gateway import gateway


class Http2Server(ScriptedServer):
    """Plays cases over TLS, to clients of HTTP/2 alone."""

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.trust.authority.issue_cert(HOST, "localhost").configure_cert(context)
        context.set_alpn_protocols(["h2"])
        return context

    @contextlib.contextmanager
    def open(self, case: Case, delivery: Delivery = Delivery.WHOLE) -> Iterator[Run]:
        """Play a case, on ports of its own, until the block ends."""
        with super().open(_over_tls(case), delivery) as run:
            fronts = {name: (socket.create_server((HOST, 0)), p) for name, p in run.ports.items()}
            run.ports = {name: front.getsockname()[1] for name, (front, _) in fronts.items()}
            run.url = f"https://{HOST}:{run.ports[b'%PORT%']}"
            fronting = asyncio.run_coroutine_threadsafe(
                self._front(list(fronts.values())), self._loop
            )
            try:
                yield run
            finally:
                fronting.cancel()

    async def _front(self, fronts: list[tuple[socket.socket, int]]) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for listener, port in fronts:
                running = gateway(listener, (HOST, port), self._context)
                await stack.enter_async_context(running)
            await asyncio.Event().wait()


def _over_tls(case: Case) -> Case:
    """Return a case whose redirects lead to where it is served."""
    scripts = tuple(_with_tls(script) for script in case.scripts)
    return attrs.evolve(case, script=scripts, other=_with_tls(case.other))


def _with_tls(script: Script) -> Script:
    return tuple(
        attrs.evolve(step, content=_with_https(step.content))
        if isinstance(step, Send | Flood)
        else step
        for step in script
    )


def _with_https(content: bytes) -> bytes:
    return re.sub(rb"(?i)http://([^/%]*:%(?:PORT|OTHER)%)", rb"https://\1", content)
