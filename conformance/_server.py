"""
The scripted server: raw sockets in a thread of their own, a port for each run of a case.

A thread, so that clients which block can be driven from the same process. The tests have a raw
server of their own, on the event loop of the test; this one belongs to a program that is run
without them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from ._case import Case
from ._connection import Connection
from ._delivery import Delivery
from ._run_state import Run
from ._trust import HOST, Trust

SECONDS_TO_STOP = 5.0

# In which the loop sees bytes, its stream gets them, and the task that waits for them runs.
_TURNS = 5


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
        """Tell a run that the client is done with its request, once all that it sent is read."""
        self._loop.call_soon_threadsafe(self._tell_after, run, _TURNS)

    def _tell_after(self, run: Run, turns: int) -> None:
        # A request that has arrived, and whose task has not run, would not count as answered: the
        # next request could be sent before the answer to it.
        if turns:
            self._loop.call_soon(self._tell_after, run, turns - 1)
        else:
            run.note_outcome()

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
