"""
`TLSTransport`: TLS over a transport, in place of the event loop's.

asyncio's allocates 256 KiB for each connection, and adds 200 µs to a handshake; uvloop's adds 100.
Here OpenSSL decrypts received bytes into the buffer of the connection, all records at once. One
thread receives, decrypts and writes a body that goes to a file: 256 MiB took 0.9 s of CPU in this
way, and 1.3 s if the event loop received them.
"""

from __future__ import annotations

import errno
import functools
import ssl
from collections.abc import Sized
from typing import Any

from asyncbatch._engine._event_loop import EventLoop, Future
from asyncbatch._engine.io._readiness import Poll
from asyncbatch._engine.io._refill import Refill
from asyncbatch._engine.io._tls_records import TLSRecords
from asyncbatch._engine.io._transport import Transport, TransportOwner

# A large body is encrypted in pieces, so that no second copy of all of it exists.
_PIECE = 256 * 1024

_ENCRYPTED = 64 * 1024
"""Bytes that a refill receives at once. They stay in the cache of the processor until they are
decrypted."""


def report_cuts(context: ssl.SSLContext) -> None:
    """
    Make OpenSSL tell an end without the closing alert from one with it.

    Early releases of Python 3.11, Debian's among them, tell it not to.
    """
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF


class TLSTransport:
    """
    The transport of a connection, and the owner of the transport below.

    The transport below is a socket's or, in the tunnel of a proxy that speaks TLS itself, another
    `TLSTransport`. Bytes that arrive after the handshake and before `deliver_to` are kept
    encrypted.

    Args:
        loop: The event loop.
        context: Decides what is verified.
        server_name: The name for SNI and the certificate.
        buffer: The buffer to decrypt into. It may be shared, since no content stays in it.
        protocols: The protocols to offer by ALPN. They are set for each connection, since clients
            of other protocols may share the context.

    Raises:
        ValueError: `server_name` is not a valid name.
    """

    __slots__ = (
        "_backlog",
        "_buffer",
        "_incoming",
        "_is_paused",
        "_is_shaking",
        "_loop",
        "_loss",
        "_lower",
        "_object",
        "_outgoing",
        "_owner",
        "_records",
        "_refill",
        "_refill_end",
        "_shaken",
    )

    def __init__(
        self,
        loop: EventLoop,
        context: ssl.SSLContext,
        server_name: str,
        buffer: memoryview,
        protocols: list[str],
    ) -> None:
        self._loop = loop
        context.set_alpn_protocols(protocols)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        # `None` until the handshake is done and `deliver_to` is called. Nothing is read before,
        # since OpenSSL would continue the handshake. After the connection is lost, this and the
        # next are `None`.
        self._owner: TransportOwner | None = None
        self._lower: Transport | None = None
        # The error by which the connection was lost before it had an owner.
        self._loss: Exception | None = None
        self._buffer = buffer
        self._is_paused = False
        self._records = TLSRecords()
        # Bytes that OpenSSL did not accept, since it must read from the peer first.
        self._backlog = b""
        # Whether the handshake is in progress.
        self._is_shaking = False
        # The object that decrypts while reading is paused, and the end that it found.
        self._refill: Refill | None = None
        self._refill_end: Exception | None = None
        # Set at the end of the handshake; `None` after `wait_until_verified`.
        self._shaken: Future[None] | None = loop.create_future()

    def begin_handshake(self, lower: Transport) -> None:
        """Begin the handshake over a transport that calls this object."""
        self._lower = lower
        self._is_shaking = True
        self._shake_hands()

    async def wait_until_verified(self) -> None:
        """
        Wait until the handshake is done and the peer is verified.

        Raises:
            OSError, ValueError: The handshake failed; the socket is closed.
        """
        shaken = self._shaken
        assert shaken is not None
        try:
            await shaken
        except BaseException:
            self.abort()
            raise
        finally:
            # The traceback of an error refers to this frame, which must not refer to the error.
            self._shaken = shaken = None

    # Called by the transport below.

    def received(self, content: bytes | memoryview) -> None:
        """Decrypt received bytes."""
        self._records.follow(content)
        self._incoming.write(content)
        if self._is_shaking:
            self._shake_hands()
        if self._owner is not None and self._incoming.pending:
            self._read()

    def eof_received(self) -> None:
        """Handle the end of the peer's bytes, which is orderly only after its closing alert."""
        self._incoming.write_eof()
        if self._is_shaking:
            self._shake_hands()
        elif self._owner is not None:
            self._read()

    def cut_off(self, error: Exception | None) -> None:
        """Handle an end that may not come from the peer: like any other, it needs an alert."""
        self.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on the end of the connection."""
        owner, self._owner, self._lower = self._owner, None, None
        self._end_handshake(exc or ConnectionResetError("the connection was lost"))
        if owner is not None:
            # After the closing alert of the peer, the owner waits for nothing, and ignores this.
            owner.cut_off(exc)
            owner.connection_lost(exc)
        else:
            self._loss = exc

    def pause_writing(self) -> None:
        """Tell the owner that bytes wait to be sent."""
        if self._owner is not None:
            self._owner.pause_writing()

    def resume_writing(self) -> None:
        """Tell the owner that no bytes wait any more."""
        if self._owner is not None and not self._backlog:
            self._owner.resume_writing()

    # Called by the connection.

    def poll(self, timeout: int, /) -> Sized:
        """
        Tell whether the socket can be read from, or a part of a record has been.

        The rest of that record was sent before a request that is sent now, and does not answer it.
        """
        if self._records.missing:
            return (self,)
        return () if self._lower is None else self._lower.poll(timeout)

    @property
    def poll_after_look(self) -> Poll | None:
        """The watch reads the socket, and does not tell of a part of a record."""
        lower = self._lower
        return (
            self.poll if lower is None or lower.poll_after_look is not None else self._poll_record
        )

    def _poll_record(self, timeout: int, /) -> Sized:
        """Tell whether a part of a record has been read, without a call of the system."""
        return (self,) if self._records.missing else ()

    def deliver_to(self, owner: TransportOwner) -> None:
        """Call `owner` from now on, and pass on at once what arrived since the handshake."""
        self._owner = owner
        if self._lower is None:
            self._end_early(owner)
        elif self._is_paused:  # by the previous owner, which left the rest to this one
            self.resume_reading()
        elif self._incoming.pending:
            self._read()

    def write(self, content: bytes) -> None:
        """Encrypt and send."""
        if self._refill is not None:
            self._refill.stop_receiving()  # OpenSSL has no locks
        if self._backlog or not content:
            self._backlog += content
            return
        sent = 0
        try:
            if len(content) <= _PIECE:
                sent = self._object.write(content)
            else:
                sent = self._write_pieces(content)
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLError, MemoryError) as exc:
            self._report_end(exc)
            return
        try:
            self._flush()
        except MemoryError as exc:
            self._report_end(exc)
            return
        if sent < len(content) and self._owner is not None:
            self._backlog = bytes(content[sent:])
            self._owner.pause_writing()

    def receive_into(self, buffer: memoryview) -> None:
        """Decrypt into another buffer from now on."""
        self._buffer = buffer

    def abort(self) -> None:
        """Close at once."""
        if self._refill is not None:
            self._refill.stop_receiving()
        if self._lower is not None:
            self._lower.abort()

    def pause_reading(self) -> None:
        """Stop reading; the kernel keeps what arrives."""
        self._is_paused = True
        if self._lower is not None:
            self._lower.pause_reading()

    def resume_reading(self) -> None:
        """Resume reading, beginning with what was received already."""
        self._is_paused = False
        self._refill = None
        if self._lower is not None:
            self._lower.resume_reading()
            self._loop.call_soon(self._read)

    def refill(self, most: int) -> Refill | None:
        """See `Transport`; the thread that receives also decrypts."""
        encrypted = None if self._lower is None else self._lower.refill(most)
        if encrypted is None:
            return None
        self._is_paused = True
        buffer = memoryview(bytearray(_ENCRYPTED))
        self._refill = Refill(functools.partial(self._receive_into, encrypted, buffer), most)
        return self._refill

    def get_extra_info(self, name: str) -> object:
        """Return what asyncio's transports return."""
        if name == "ssl_object":
            return self._object
        return None if self._lower is None else self._lower.get_extra_info(name)

    # Private.

    def _receive_into(self, encrypted: Refill, buffer: memoryview, memory: memoryview) -> int:
        """Decrypt into `memory`; first what is here, then what `encrypted` receives."""
        received = 0
        while self._refill_end is None:
            filled, self._refill_end = self._fill(memory[received:])
            received += filled
            if received == len(memory):
                break
            size = encrypted(buffer)
            if not size and not received:
                raise BlockingIOError  # 0 would be the end
            if not size:
                break
            self._records.follow(buffer[:size])
            try:
                self._incoming.write(buffer[:size])
            except MemoryError as error:
                self._refill_end = error
        return received

    def _end_early(self, owner: TransportOwner) -> None:
        """
        Pass on what arrived before the connection was lost, and then its end.

        The bytes may tell why it ended: a server refuses a certificate by an alert, and closes.
        """
        self._is_paused = False
        self._read()
        self._owner = None
        owner.cut_off(self._loss)
        owner.connection_lost(self._loss)

    def _shake_hands(self) -> None:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except (OSError, ValueError, MemoryError) as exc:
            # Send the alert that tells the peer why.
            self._flush()
            self._end_handshake(exc)
            self.abort()
            return
        self._end_handshake(None)
        # The end of the handshake (TLS 1.3) goes with the first request, which is written by the
        # task that waits or, a turn later, by the callback of that task. One write less also saves
        # the server a wake-up.
        self._loop.call_soon(self._loop.call_soon, self._send_rest)

    def _send_rest(self) -> None:
        """Send the end of the handshake, if no request was sent with it."""
        if self._outgoing.pending:
            self._flush()

    def _end_handshake(self, error: Exception | None) -> None:
        self._is_shaking = False
        shaken = self._shaken
        if shaken is None or shaken.done():
            return
        if error is None:
            shaken.set_result(None)
        else:
            if isinstance(error, MemoryError):
                error = OSError(errno.ENOMEM, "no memory for the TLS handshake")
            shaken.set_exception(error)
            shaken.exception()  # marks it as retrieved: the waiting task may have been cancelled

    def _read(self) -> None:
        """Pass on what has arrived, as much at once as the buffer holds."""
        if self._refill_end is not None and not self._is_paused:
            self._report_end(self._refill_end)
            return
        while self._owner is not None and not self._is_paused:
            owner = self._owner
            buffer = self._buffer
            filled, end = self._fill(buffer)
            if filled:
                owner.received(buffer[:filled])
            if self._backlog:
                backlog, self._backlog = self._backlog, b""
                self.write(backlog)
                if not self._backlog:
                    owner.resume_writing()
            if self._outgoing.pending:
                self._flush()
            if end is not None:
                self._report_end(end)
                return
            if filled < len(buffer):
                return

    def _fill(self, buffer: memoryview) -> tuple[int, Exception | None]:
        """Decrypt into `buffer`; return the count, and the error or alert that ended the bytes."""
        read: Any = self._object.read  # typeshed knows only one signature of it
        incoming = self._incoming
        room = len(buffer)
        filled = 0
        try:
            while filled < room:
                count: int = read(room - filled, buffer[filled:] if filled else buffer)
                if not count:
                    return filled, ssl.SSLZeroReturnError()
                filled += count
                # One more call would raise, and that for every response.
                if not incoming.pending and not self._object.pending():
                    break
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLError, MemoryError) as exc:
            return filled, exc
        return filled, None

    def _report_end(self, end: Exception) -> None:
        owner = self._owner
        if owner is None:
            return
        if isinstance(end, ssl.SSLZeroReturnError):
            owner.eof_received()
        else:
            owner.cut_off(None if _is_cut(end) else end)
        self.abort()

    def _write_pieces(self, content: bytes) -> int:
        sent = 0
        view = memoryview(content)
        while sent < len(content):
            try:
                sent += self._object.write(view[sent : sent + _PIECE])
            except ssl.SSLWantReadError:
                break
            self._flush()
        return sent

    def _flush(self) -> None:
        encrypted = self._outgoing.read()
        if encrypted and self._lower is not None:
            self._lower.write(encrypted)


def _is_cut(end: Exception) -> bool:
    """Tell whether the bytes ended without an alert; some releases of 3.11 have no class for it."""
    reason = getattr(end, "reason", None)
    return isinstance(end, ssl.SSLEOFError) or reason == "UNEXPECTED_EOF_WHILE_READING"
