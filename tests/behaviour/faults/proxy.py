"""
A TCP proxy on loopback that treats connections as bad networks do.

It knows nothing of HTTP: what a server does wrong is `LoopbackServer`'s, what happens on the way is
this one's.
"""

from __future__ import annotations

import contextlib
import enum
import math
import random
import socket
from types import TracebackType
from typing import Self

import anyio
import anyio.abc
import attrs

from asyncbatch.testing._stream import PlainStream

PIECE = 1024
"""Bytes that are carried at a time where the bandwidth is limited."""


class Stop(enum.Enum):
    """What becomes of a connection once one direction has carried all that it may."""

    RESET = "reset"
    """A RST to the client."""
    CLOSE = "close"
    """A FIN to the client, and nothing else."""
    VANISH = "vanish"
    """Open, but the bytes of this direction vanish: a black hole."""


@attrs.frozen(kw_only=True)
class Flow:
    """What befalls the bytes of one direction. Each piece that is read waits for its latency."""

    latency: float = 0.0
    jitter: float = 0.0
    bandwidth: float = math.inf
    """Bytes a second."""
    after: float = math.inf
    """Bytes that are carried before `stop`; 0 stops at the first byte that comes."""
    stop: Stop = Stop.RESET
    hides_end: bool = False
    """Whether the other side is not told when this one ends: a half-open connection."""

    @classmethod
    def stopping(cls, stop: Stop, after: int) -> Self:
        """Carry so many bytes and no more."""
        return cls(after=after, stop=stop)


class Opening(enum.Enum):
    """What a client meets that has connected."""

    CARRY = "carry"
    """The server behind the proxy."""
    SILENT = "silent"
    """No byte at all, without end."""
    RESET = "reset"
    """A RST before anything else."""
    TLS_ALERT = "alert"
    """A fatal alert in answer to its first bytes."""


HANDSHAKE_FAILURE = b"\x15\x03\x03\x00\x02\x02\x28"
"""The TLS record of a fatal alert (RFC 8446 §6)."""


@attrs.frozen(kw_only=True)
class Link:
    """How the proxy treats a connection."""

    opening: Opening = Opening.CARRY
    accept_delay: float = 0.0
    """Seconds that each new connection waits in the queue of the listener."""
    request: Flow = Flow()
    response: Flow = Flow()


class FaultProxy:
    """
    Carries connections to a server on 127.0.0.1, as badly as `link` says.

    `link` may change at any time, for the connections that are accepted from then on.
    """

    def __init__(self, port: int, *, link: Link | None = None, seed: int = 0) -> None:
        self._link = Link() if link is None else link
        # Set when the link changes.
        self._changed = anyio.Event()
        self.accepted = 0
        """Connections so far."""
        self._server = ("127.0.0.1", port)
        self._random = random.Random(seed)
        self._group: anyio.abc.TaskGroup | None = None
        self._listening: anyio.CancelScope | None = None
        # Set when the listener is closed.
        self._refusing = anyio.Event()
        self._connections: set[_Connection] = set()
        # Keeps the port from others while nobody listens on it.
        self._reserved = socket.socket()

    @property
    def link(self) -> Link:
        """How new connections are treated."""
        return self._link

    @link.setter
    def link(self, link: Link) -> None:
        self._link = link
        self._changed.set()
        self._changed = anyio.Event()

    def url(self, path: str = "/", *, scheme: str = "http") -> str:
        """Return the URL of a path of the server, by way of the proxy."""
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    @property
    def port(self) -> int:
        """The port, whether anybody listens on it or not."""
        port: int = self._reserved.getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        _bind(self._reserved, 0)
        self._group = await anyio.create_task_group().__aenter__()
        self.listen()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._group is not None
        self._group.cancel_scope.cancel()
        try:
            await self._group.__aexit__(None, None, None)
        finally:
            self._reserved.close()

    def listen(self) -> None:
        """Accept connections, after `refuse` those to the same port as before."""
        assert self._group is not None
        listener = socket.socket()
        _bind(listener, self.port)
        listener.listen(1024)
        self._listening = anyio.CancelScope()
        self._refusing = anyio.Event()
        self._group.start_soon(self._accept, listener, self._listening)

    async def refuse(self) -> None:
        """Refuse connections from now on; those that are open stay so."""
        assert self._listening is not None
        self._listening.cancel()
        # The listener is closed by its task, once that has let go of it.
        await self._refusing.wait()

    def freeze(self) -> None:
        """Carry nothing more on the connections there are, and tell nobody."""
        for connection in self._connections:
            connection.is_frozen = True

    def drop(self, *, reset: bool = True) -> None:
        """End the connections there are."""
        for connection in self._connections:
            connection.end(Stop.RESET if reset else Stop.CLOSE)

    async def _accept(self, listener: socket.socket, scope: anyio.CancelScope) -> None:
        assert self._group is not None
        refusing = self._refusing
        with listener, scope:
            while True:
                await anyio.wait_readable(listener)
                with anyio.move_on_after(self.link.accept_delay):
                    await self._changed.wait()
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    accepted, _ = listener.accept()
                    self.accepted += 1
                    self._group.start_soon(self._serve, accepted)
        refusing.set()

    async def _serve(self, accepted: socket.socket) -> None:
        connection = _Connection(PlainStream(accepted), self.link, self._random)
        self._connections.add(connection)
        try:
            await connection.serve(self._server)
        finally:
            self._connections.discard(connection)


class _Connection:
    def __init__(self, client: PlainStream, link: Link, dice: random.Random) -> None:
        self.is_frozen = False
        self._client = client
        self._link = link
        self._random = dice
        self._scope = anyio.CancelScope()
        self._ending = Stop.CLOSE

    async def serve(self, server: tuple[str, int]) -> None:
        """Treat the connection as its link says, until either side ends it."""
        try:
            with self._scope, contextlib.suppress(OSError):
                await self._open(server)
        finally:
            if self._ending is Stop.RESET:
                self._client.reset()
            else:
                self._client.close()

    def end(self, how: Stop) -> None:
        """End the connection; its own task does the closing."""
        self._ending = how
        self._scope.cancel()

    async def _open(self, server: tuple[str, int]) -> None:
        match self._link.opening:
            case Opening.CARRY:
                await self._carry_both(server)
            case Opening.SILENT:
                while await self._client.receive():
                    pass
            case Opening.RESET:
                self._ending = Stop.RESET
            case Opening.TLS_ALERT:
                await self._client.receive()
                await self._client.send(HANDSHAKE_FAILURE)

    async def _carry_both(self, server: tuple[str, int]) -> None:
        upstream = PlainStream(socket.socket())
        try:
            await _connect(upstream, server)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._carry, self._client, upstream, self._link.request)
                tasks.start_soon(self._carry, upstream, self._client, self._link.response)
        finally:
            upstream.close()

    async def _carry(self, source: PlainStream, sink: PlainStream, flow: Flow) -> None:
        left = flow.after
        with contextlib.suppress(OSError):
            while content := await source.receive():
                if self.is_frozen:
                    continue
                await self._delay(flow)
                await _pour(sink, content[: int(min(left, len(content)))], flow.bandwidth)
                left = max(0.0, left - len(content))
                if left == 0 and flow.stop is not Stop.VANISH:
                    self.end(flow.stop)
                    return
        # Nobody tells the client, who may be gone without being told anything itself.
        hides = flow.hides_end or self.is_frozen or left == 0
        if source is self._client or not hides:
            self._scope.cancel()

    async def _delay(self, flow: Flow) -> None:
        if flow.latency or flow.jitter:
            await anyio.sleep(flow.latency + self._random.random() * flow.jitter)


def _bind(bound: socket.socket, port: int) -> None:
    bound.setblocking(False)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))


async def _connect(stream: PlainStream, address: tuple[str, int]) -> None:
    stream._socket.connect_ex(address)
    await anyio.wait_writable(stream._socket)


async def _pour(sink: PlainStream, content: bytes, bandwidth: float) -> None:
    size = len(content) if bandwidth == math.inf else PIECE
    for start in range(0, len(content), size or 1):
        piece = content[start : start + size]
        await sink.send(piece)
        if bandwidth != math.inf:
            await anyio.sleep(len(piece) / bandwidth)
