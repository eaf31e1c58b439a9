"""
A gateway: HTTP/2 over TLS in front of a server of HTTP/1.1, one stream after the other.

The server behind it sees what it would see without the gateway: a connection that ends when the
client gives a request up, and the same requests. What that server does to its connection inside a
response (an end, a reset) is done to the connection of the client. A client that does not speak
HTTP/2 is passed through.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import hpack

from ._translation import (
    Content,
    EndedEarly,
    Event,
    Head,
    ResponseTranslator,
    Untranslatable,
    request_head,
)

MOST_WAITING = 64 * 1024
"""Bytes of a body that wait for the client's windows before more are read."""

_READ = 64 * 1024

_FIRST_WINDOW = 65_535
_WINDOW = 1024 * 1024
"""Bytes that a client may send ahead, as servers allow in practice. With the first window, 8 MB
take so many turns between the two that a busy machine needs ten seconds for them."""

_END_OF_BODY = b"0\r\n\r\n"

MOST_PIECES = 4
"""Pieces of the server behind that wait to be read before no more are taken from it."""


def _send_at_once(transport: asyncio.BaseTransport) -> None:
    """Send small pieces without waiting: asyncio does so only where it knows that this is TCP."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Behind(asyncio.Protocol):
    """
    The connection to the server behind.

    Not a `StreamReader`: that forgets what has come before a reset.
    """

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self.transport: Any = None
        self.is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        _send_at_once(transport)

    def data_received(self, data: bytes) -> None:
        self._pieces.put_nowait(data)
        if self._pieces.qsize() >= MOST_PIECES:
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_over = True
        self._pieces.put_nowait(exc or b"")

    async def read(self) -> bytes:
        """
        Return what has come; nothing at the end.

        Raises:
            ConnectionError: The connection was reset.
        """
        piece = await self._pieces.get()
        if isinstance(piece, Exception):
            raise piece
        if not self.is_over:
            self.transport.resume_reading()
        return piece

    def write(self, content: bytes) -> None:
        """Send to the server."""
        self.transport.write(content)


class _Encoder(hpack.Encoder):
    """Without Huffman codes, which take hpack a time that grows with the square of the length."""

    def encode(self, headers: Any, huffman: bool = False) -> bytes:
        encoded: bytes = super().encode(headers, huffman=False)
        return encoded


class _Stream:
    """One request, and what is still to be sent of its response."""

    def __init__(self, number: int, fields: list[tuple[bytes, bytes]], *, has_body: bool) -> None:
        self.number = number
        self.method = dict(fields)[b":method"]
        self.head = request_head(fields, has_body=has_body)
        self.is_chunked = has_body and b"\r\ntransfer-encoding: chunked\r\n" in self.head
        # The pieces of its body; `None` is the end.
        self.body: asyncio.Queue[bytes | None] = asyncio.Queue()
        if not has_body:
            self.body.put_nowait(None)
        self.was_reset = asyncio.Event()
        self.waiting: list[Event] = []


class Gateway:
    """
    One connection of a client.

    Args:
        address: Of the server behind.
        reader: What the client sends.
        writer: Sends to the client, over TLS.
    """

    def __init__(
        self,
        address: tuple[str, int],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._address = address
        self._reader = reader
        self._writer = writer
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._h2: Any = h2.connection.H2Connection(config)
        self._h2.encoder = _Encoder()
        self._streams: dict[int, _Stream] = {}
        self._waiting: asyncio.Queue[_Stream] = asyncio.Queue()
        self._behind: _Behind | None = None
        self._windows = asyncio.Event()

    async def serve(self) -> None:
        """Serve until either side ends."""
        tls = self._writer.get_extra_info("ssl_object")
        try:
            if tls.selected_alpn_protocol() != "h2":
                await self._pass_through()
                return
            self._h2.initiate_connection()
            self._h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW})
            self._h2.increment_flow_control_window(_WINDOW - _FIRST_WINDOW)
            self._flush()
            async with asyncio.TaskGroup() as tasks:
                exchanging = tasks.create_task(self._exchange_all())
                await self._read_all()
                exchanging.cancel()
        except* (ConnectionError, h2.exceptions.ProtocolError):
            pass  # the client has gone, or speaks no HTTP/2
        finally:
            self._leave_behind()
            self._writer.transport.abort()

    # The side of the client.

    async def _read_all(self) -> None:
        while content := await self._reader.read(_READ):
            for event in self._h2.receive_data(content):
                self._note(event)
            self._flush()

    def _note(self, event: Any) -> None:
        match event:
            case h2.events.RequestReceived():
                has_body = event.stream_ended is None
                stream = _Stream(event.stream_id, event.headers, has_body=has_body)
                self._streams[stream.number] = stream
                self._waiting.put_nowait(stream)
            case h2.events.DataReceived():
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if event.data and (stream := self._streams.get(event.stream_id)) is not None:
                    stream.body.put_nowait(event.data)
            case h2.events.StreamEnded():
                if (stream := self._streams.get(event.stream_id)) is not None:
                    stream.body.put_nowait(None)
            case h2.events.StreamReset():
                if (stream := self._streams.pop(event.stream_id, None)) is not None:
                    stream.was_reset.set()
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._windows.set()
            case _:
                pass

    def _flush(self) -> None:
        for stream in list(self._streams.values()):
            self._send_waiting(stream)
        content = self._h2.data_to_send()
        if content:
            self._writer.write(content)

    def _send_waiting(self, stream: _Stream) -> None:
        while stream.waiting:
            event = stream.waiting[0]
            if isinstance(event, Head):
                self._h2.send_headers(stream.number, event.fields, end_stream=event.is_end)
            elif isinstance(event, Content):
                room = self._h2.local_flow_control_window(stream.number)
                piece = event.content[: min(room, self._h2.max_outbound_frame_size)]
                if not piece:
                    return
                self._h2.send_data(stream.number, piece)
                if len(piece) < len(event.content):
                    stream.waiting[0] = Content(event.content[len(piece) :])
                    continue
            else:
                self._h2.end_stream(stream.number)
            del stream.waiting[0]

    # The side of the server.

    async def _exchange_all(self) -> None:
        while True:
            stream = await self._waiting.get()
            if stream.was_reset.is_set():
                continue
            relaying = asyncio.create_task(self._exchange(stream))
            reset = asyncio.create_task(stream.was_reset.wait())
            try:
                await asyncio.wait({relaying, reset}, return_when=asyncio.FIRST_COMPLETED)
                if relaying.done():
                    relaying.result()
                else:
                    self._leave_behind()
            finally:
                relaying.cancel()
                reset.cancel()
                await asyncio.gather(relaying, reset, return_exceptions=True)
                self._streams.pop(stream.number, None)

    async def _exchange(self, stream: _Stream) -> None:
        behind = await self._behind_it()
        sending = asyncio.create_task(self._send_request(stream, behind))
        translator = ResponseTranslator(stream.method)
        try:
            while not translator.is_whole:
                content = await behind.read()
                stream.waiting += translator.receive(content) if content else translator.end()
                await self._sent(stream, 0 if translator.is_whole else MOST_WAITING)
        except EndedEarly:
            await self._end_as_cut()
        except Untranslatable:
            self._h2.reset_stream(stream.number, error_code=2)
            self._flush()
            self._leave_behind()
        except ConnectionError:
            await self._end_as_reset()
        finally:
            is_read = sending.done()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        if not is_read:
            self._leave_behind()  # the rest of the request would be the next one

    async def _sent(self, stream: _Stream, most: int) -> None:
        """Send what the windows allow, and wait until no more than `most` bytes are left."""
        while True:
            self._windows.clear()
            self._flush()
            await self._writer.drain()
            left = sum(len(e.content) for e in stream.waiting if isinstance(e, Content))
            if left <= most:
                return
            await self._windows.wait()

    async def _send_request(self, stream: _Stream, behind: _Behind) -> None:
        behind.write(stream.head)
        while (piece := await stream.body.get()) is not None:
            behind.write(b"%x\r\n%b\r\n" % (len(piece), piece) if stream.is_chunked else piece)
        if stream.is_chunked:
            behind.write(_END_OF_BODY)

    async def _behind_it(self) -> _Behind:
        if self._behind is not None and not self._behind.is_over:
            return self._behind
        loop = asyncio.get_running_loop()
        _, self._behind = await loop.create_connection(_Behind, *self._address)
        return self._behind

    def _leave_behind(self) -> None:
        behind, self._behind = self._behind, None
        if behind is not None:
            behind.transport.abort()

    async def _end_as_cut(self) -> None:
        self._writer.close()
        raise ConnectionError

    async def _end_as_reset(self) -> None:
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        raise ConnectionError

    # HTTP/1.1.

    async def _pass_through(self) -> None:
        behind = await self._behind_it()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pass_requests(behind))
            try:
                while content := await behind.read():
                    self._writer.write(content)
                    await self._writer.drain()
            except ConnectionError:
                await self._end_as_reset()
            await self._end_as_cut()

    async def _pass_requests(self, behind: _Behind) -> None:
        while content := await self._reader.read(_READ):
            behind.write(content)
        raise ConnectionError


@contextlib.asynccontextmanager
async def gateway(
    listener: socket.socket, address: tuple[str, int], tls: ssl.SSLContext
) -> AsyncIterator[None]:
    """
    Run a gateway in front of a server.

    Args:
        listener: Where it listens.
        address: Where the server does.
        tls: The context to speak TLS with; its ALPN decides what is spoken.
    """
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        _send_at_once(writer.transport)
        try:
            await Gateway(address, reader, writer).serve()
        except asyncio.CancelledError:
            pass
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, sock=listener, ssl=tls)
    try:
        yield
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
