"""
`SocketTransport`: a transport over a plain socket, with only what a connection needs.

asyncio's own makes four calls in Python for each read, and checks a dozen things for each write;
this one makes one call each. It also reads on after a write has failed. A server that refuses an
upload answers and closes, and asyncio would drop that answer with the connection.
"""

from __future__ import annotations

import socket
from collections import deque

from asyncbatch._engine._event_loop import EventLoop
from asyncbatch._engine.io._readiness import Watch, poll_of
from asyncbatch._engine.io._refill import Refill
from asyncbatch._engine.io._transport import SocketOwner

LITTLE = 16 * 1024
"""Most bytes that are received without a buffer; after a full read, the buffer is used."""

IN_A_ROW = 4
"""Small reads in a row after which the buffer is not used: long bodies have short ends."""


class SocketTransport:
    """Moves bytes between a connected, non-blocking socket and its owner."""

    __slots__ = (
        "_buffer",
        "_fd",
        "_into",
        "_little",
        "_loop",
        "_owner",
        "_receive",
        "_receive_into",
        "_refill",
        "_send",
        "_sock",
        "_unsent",
        "_watch",
        "poll",
        "poll_after_look",
    )

    def __init__(
        self,
        loop: EventLoop,
        watch: Watch,
        sock: socket.socket,
        buffer: memoryview,
    ) -> None:
        self._loop = loop
        self._watch = watch
        self._sock = sock
        self._fd = sock.fileno()
        self.poll = poll_of(sock)
        # A watch that can look reports all of its sockets at once.
        self.poll_after_look = None if watch.can_look else self.poll
        # Set by `deliver_to`; there are no callbacks before.
        self._owner: SocketOwner = None  # type: ignore[assignment]
        self._buffer = buffer
        # The buffer to receive into; `None` while reads are small, since `recv` is cheaper then.
        self._into: memoryview | None = None
        # Number of small reads into the buffer in a row.
        self._little = 0
        self._receive = sock.recv
        self._receive_into = sock.recv_into
        self._send = sock.send
        # The `Refill` that receives in place of this object, while reading is paused.
        self._refill: Refill | None = None
        # Bytes that the kernel has not taken, not copied: they may be a whole body. `None`
        # when nothing more can be sent.
        self._unsent: deque[memoryview] | None = deque()

    def deliver_to(self, owner: SocketOwner) -> None:
        """
        Call `owner` from now on; what arrived before was left with the kernel.

        Raises:
            OSError: The socket cannot be watched.
        """
        self._owner = owner
        self._watch.add(self._fd, self._readable)

    def write(self, content: bytes) -> None:
        """Send; keep what the kernel does not take at once."""
        unsent = self._unsent
        if unsent is None:
            return
        sent = 0
        if not unsent:
            try:
                # As a variable: CPython specialises no call of a function that is an attribute.
                send = self._send
                sent = send(content)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                self._give_up_writing()
                return
            except MemoryError as exc:
                self._lose(exc)
                return
            if sent == len(content):
                return
            self._loop.add_writer(self._fd, self._writable)
        # Copied unless it is `bytes`: the caller may change it.
        unsent.append(memoryview(content if type(content) is bytes else bytes(content))[sent:])
        self._owner.pause_writing()

    def receive_into(self, buffer: memoryview) -> None:
        """Receive into another buffer from now on."""
        self._buffer = self._into = buffer

    def abort(self) -> None:
        """Close at once."""
        if self._fd < 0:
            return
        try:
            self._watch.remove(self._fd)
            if self._refill is not None:
                self._refill.stop_receiving()
            if self._unsent:
                self._loop.remove_writer(self._fd)
        finally:
            self._fd = -1
            self._unsent = None
            self._sock.close()
        owner = self._owner
        if owner is not None:
            owner.connection_lost(None)

    def pause_reading(self) -> None:
        """Stop reading; the kernel keeps what arrives."""
        self._watch.pause(self._fd)

    def resume_reading(self) -> None:
        """Resume reading; a refill has ended before."""
        if self._fd < 0:
            return
        refill, self._refill = self._refill, None
        if refill is not None and refill.error is not None:
            self._loop.call_soon(self._lose, refill.error)
            return
        self._watch.add(self._fd, self._readable)

    def refill(self, most: int) -> Refill:
        """Pause reading, and return what receives up to `most` bytes."""
        self.pause_reading()
        self._refill = Refill(self._receive_into, most)
        return self._refill

    def get_extra_info(self, name: str) -> object:
        """Return what asyncio's transports return."""
        if name == "socket":
            return self._sock
        if self._fd >= 0 and name == "peername":
            return self._sock.getpeername()
        if self._fd >= 0 and name == "sockname":
            return self._sock.getsockname()
        return None

    def _readable(self) -> None:
        into = self._into
        content: bytes | memoryview
        try:
            if into is None:
                receive = self._receive
                content = receive(LITTLE)
                if len(content) == LITTLE:
                    self._into = self._buffer
            else:
                content = into[: self._receive_into(into)]
                self._weigh(len(content))
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, MemoryError) as exc:
            self._lose(exc)
            return
        if content:
            try:
                self._owner.received(content)
            except MemoryError as exc:
                if self._fd < 0:
                    raise  # the owner has closed it: whether it has lost an exchange is not known
                self._lose(exc)
        else:
            self._owner.eof_received()
            self.abort()

    def _weigh(self, received: int) -> None:
        """Stop using the buffer after several small reads in a row."""
        if received >= LITTLE:
            self._little = 0
            return
        self._little += 1
        if self._little >= IN_A_ROW:
            self._little = 0
            self._into = None

    def _writable(self) -> None:
        unsent = self._unsent
        if unsent is None:
            return
        try:
            sent = self._send(unsent[0])
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._give_up_writing()
            return
        except MemoryError as exc:
            self._lose(exc)
            return
        if sent < len(unsent[0]):
            unsent[0] = unsent[0][sent:]
            return
        unsent.popleft()
        if not unsent:
            self._loop.remove_writer(self._fd)
            self._owner.resume_writing()

    def _lose(self, exc: Exception) -> None:
        """Close the connection after an error, unless it is closed."""
        if self._fd < 0:
            return
        try:
            self._owner.connection_lost(exc)
        finally:
            self.abort()

    def _give_up_writing(self) -> None:
        # Reading goes on: it reports the error after the bytes that the peer sent before.
        self._unsent = None
        self._loop.remove_writer(self._fd)
        self._owner.pause_writing()
