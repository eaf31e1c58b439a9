"""A server that speaks HTTP/2 by h2, on whichever event loop runs, as its test says."""

from __future__ import annotations

import contextlib
import functools
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import h2.events
import trustme

from asyncbatch._engine import Connector, Engine, Origin
from tests import aio, raw_server
from tests.engines import engine_for
from tests.http2_peer import Peer

AUTHORITY = trustme.CA()


def client_context() -> ssl.SSLContext:
    """Return a context that trusts the servers here."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


@functools.cache
def server_context(*protocols: str) -> ssl.SSLContext:
    """Return the context of a server that speaks these protocols."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


class Conversation:
    """
    One connection, as the code that answers its requests sees it.

    Attributes:
        number: That of the connection, from 1 on.
        peer: The state of h2.
        left: What is still to be sent of long bodies, by stream.
    """

    def __init__(self, raw: raw_server.Peer, peer: Peer) -> None:
        self.number = raw.number
        self.raw = raw
        self.peer = peer
        self.left: dict[int, bytes] = {}
        self.is_over = False
        self.is_deaf = False
        """Whether what the client sends is passed over."""
        self._written = aio.Event()
        self._is_lost = False

    def path(self, stream: int) -> str:
        """Return the path of a request."""
        return dict(self.peer.requests[stream])[":path"]

    def respond(
        self, stream: int, body: bytes = b"ok", *fields: tuple[str, str], status: str = "200"
    ) -> None:
        """Answer a request, as fast as the windows allow."""
        self.peer.h2.send_headers(stream, [(":status", status), *fields], end_stream=not body)
        if body:
            self.left[stream] = body
        self.flush()

    def flush(self) -> None:
        """Send what can be sent."""
        h2 = self.peer.h2
        for stream, body in list(self.left.items()):
            sent = 0
            while sent < len(body):
                room = min(h2.local_flow_control_window(stream), h2.max_outbound_frame_size)
                if room <= 0:
                    break
                piece = body[sent : sent + room]
                sent += len(piece)
                h2.send_data(stream, piece, end_stream=sent == len(body))
            self.left[stream] = body[sent:]
            if sent == len(body):
                del self.left[stream]
        self.send(self.peer.take())

    def send(self, content: bytes) -> None:
        """Send any bytes."""
        if content and not self.raw.writer.is_closing():
            self.raw.writer.write(content)
            self._written.set()

    async def _drain(self) -> None:
        try:
            while True:
                await self._written.wait()
                self._written.clear()
                await self.raw.writer.drain()
        except ConnectionError:
            self._is_lost = True

    async def run(self, answer: Callable[[Conversation, int], None]) -> None:
        """Serve until the client closes, or `is_over`."""
        draining = aio.ensure_future(self._drain())
        try:
            self.flush()
            await self._converse(answer)
        finally:
            draining.cancel()
            await aio.gather(draining, return_exceptions=True)

    async def _converse(self, answer: Callable[[Conversation, int], None]) -> None:
        while not (self.is_over or self._is_lost) and (
            content := await self.raw.reader.read(65_536)
        ):
            if self.is_deaf:
                continue
            for event in self.peer.receive(content):
                if isinstance(event, h2.events.StreamEnded):
                    stream = event.stream_id
                    self.raw.server.requests.append(self.path(stream).encode())
                    answer(self, stream)
                elif isinstance(event, h2.events.StreamReset):
                    self.left.pop(event.stream_id, None)
            self.raw.server.changed.set()
            self.flush()
            # The other task sends it, which alone may do so on trio.
            while self._written.is_set() and not self._is_lost:
                await aio.sleep(0)


Answer = Callable[[Conversation, int], None]


def answer_all(conversation: Conversation, stream: int) -> None:
    """Answer each request with its path."""
    conversation.respond(stream, conversation.path(stream).encode())


class Http2Server:
    """
    What the conversations have seen so far.

    Attributes:
        conversations: One for each connection that speaks HTTP/2.
    """

    def __init__(self, raw: raw_server.Server) -> None:
        self.raw = raw
        self.conversations: list[Conversation] = []
        self.until = raw.until

    @property
    def origin(self) -> Origin:
        """Where it listens, with TLS."""
        return Origin(is_tls=True, host="127.0.0.1", port=self.raw.port)

    @property
    def url(self) -> str:
        """Where it listens, with TLS."""
        return f"https://127.0.0.1:{self.raw.port}/"

    @property
    def connections(self) -> int:
        """How many connections were accepted."""
        return self.raw.connections

    @property
    def paths(self) -> list[str]:
        """The paths of all requests that came whole."""
        return [each.decode() for each in self.raw.requests]


@contextlib.asynccontextmanager
async def serve_http2(
    answer: Answer = answer_all,
    *,
    protocols: tuple[str, ...] = ("h2", "http/1.1"),
    **options: Any,
) -> AsyncIterator[Http2Server]:
    """Serve HTTP/2 over TLS; `options` are those of `Peer`."""

    async def script(raw: raw_server.Peer) -> None:
        tls = raw.writer.get_extra_info("ssl_object")
        if tls.selected_alpn_protocol() != "h2":
            await raw_server.answer_all(raw)
            return
        conversation = Conversation(raw, Peer(**options))
        server.conversations.append(conversation)
        await conversation.run(answer)

    async with raw_server.serve(script, tls=server_context(*protocols)) as raw:
        server = Http2Server(raw)
        yield server


@contextlib.asynccontextmanager
async def http2_engine(**options: Any) -> AsyncIterator[Engine]:
    """Run an engine that speaks HTTP/2."""
    connector = options.pop("connector", None) or Connector(client_context, http2=True)
    async with engine_for(connector=connector, **options) as engine:
        yield engine
