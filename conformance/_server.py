"""
The scripted server: raw sockets in a thread of their own, a port for each run of a case.

A thread, so that clients which block can be driven from the same process. What a run has seen is
written by that thread and read by others when the run has settled.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from ._case import Case
from ._connection import Connection
from ._delivery import Delivery
from ._steps import ReadRequest, Script, Step
from ._trust import HOST, Trust

SECONDS_TO_STOP = 5.0

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


class ScriptedServer:
    """
    Plays cases; a context manager, to be entered and left by code that may block for a moment.

    Attributes:
        trust: its certificates.
    """

    def __init__(self, trust: Trust | None = None) -> None:
        self.trust = trust or Trust()
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda loop, context: None)
        self._thread = threading.Thread(target=self._serve, name="scripted server", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS_TO_STOP)

    @contextlib.contextmanager
    def open(self, case: Case, delivery: Delivery = Delivery.WHOLE) -> Iterator[Run]:
        """Play a case, on ports of its own, until the block ends."""
        address = case.host if case.host.startswith("127.") else HOST
        sockets = [socket.create_server((address, 0), backlog=128)]
        if case.other:
            sockets.append(socket.create_server((HOST, 0), backlog=128))
        names = (b"%PORT%", b"%OTHER%")
        ports = {n: s.getsockname()[1] for n, s in zip(names, sockets, strict=False)}
        run = Run(case, delivery, case.scheme or ("https" if case.tls else "http"), ports)
        contexts = [self.trust.server_context(t) if t else None for t in (case.tls, case.other_tls)]
        begun = asyncio.run_coroutine_threadsafe(self._listen(run, sockets, contexts), self._loop)
        try:
            yield run
        finally:
            self._loop.call_soon_threadsafe(self._end, begun)

    def tell(self, run: Run) -> None:
        """Tell a run that the client is done with its request."""
        self._loop.call_soon_threadsafe(run.note_outcome)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _listen(
        self, run: Run, sockets: list[socket.socket], contexts: list[ssl.SSLContext | None]
    ) -> tuple[list[asyncio.Server], set[asyncio.Task[Any]]]:
        tasks: set[asyncio.Task[Any]] = set()

        async def serve(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_other: bool
        ) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            # asyncio does so by itself only where the socket knows that it is TCP. Without it a
            # small piece is kept back until the one before it has been acknowledged.
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                await Connection(run, reader, writer, is_other=is_other).serve()
            except asyncio.CancelledError:
                pass
            finally:
                tasks.discard(task)
                writer.transport.abort()

        async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await serve(reader, writer, is_other=False)

        async def second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await serve(reader, writer, is_other=True)

        servers = [
            await asyncio.start_server(callback, sock=sock, ssl=context)
            for callback, sock, context in zip((first, second), sockets, contexts, strict=False)
        ]
        return servers, tasks

    def _end(self, begun: Any) -> None:
        def close(_: Any) -> None:
            if begun.cancelled() or begun.exception() is not None:
                return
            servers, tasks = begun.result()
            for server in servers:
                server.close()
            for task in list(tasks):
                task.cancel()

        begun.add_done_callback(lambda _: self._loop.call_soon_threadsafe(close, None))


def _turns(script: Script) -> deque[Script]:
    """Split a script into what is done for each request."""
    turns: list[list[Step]] = []
    for step in script:
        if isinstance(step, ReadRequest):
            turns.append([])
        elif turns:
            turns[-1].append(step)
    return deque(map(tuple, turns))
