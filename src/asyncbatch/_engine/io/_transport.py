"""
What a connection and the transport below it are to one another.

There are three transports: a plain socket, TLS over one, and what the event loop has instead.
"""

from __future__ import annotations

from typing import Protocol

from asyncbatch._engine._exchange import Upload
from asyncbatch._engine.io._readiness import Poll


class Transport(Protocol):
    """An open way to the peer: moves bytes, and calls its owner back once it has one."""

    @property
    def is_watched(self) -> bool:
        """Whether the pool's watch knows when there is something to read."""
        ...

    @property
    def poll(self) -> Poll:
        """Says, when called with 0, whether the socket has something to read."""
        ...

    def deliver_to(self, owner: TransportOwner) -> None:
        """
        Call `owner` back from now on, and at once for what has come already.

        Raises:
            OSError: the socket cannot be watched; the transport is to be aborted.
        """
        ...

    def write(self, content: bytes) -> None:
        """Send, keeping what the kernel does not take at once."""
        ...

    def is_out(self, body: bytes | Upload) -> bool:
        """Say whether a request that was written, and not held up, has gone to the kernel."""
        ...

    def receive_into(self, buffer: memoryview) -> None:
        """Receive into another buffer from now on."""
        ...

    def pause_reading(self) -> None:
        """Leave what arrives with the kernel."""
        ...

    def resume_reading(self) -> None:
        """Take again what arrives."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...

    def get_extra_info(self, name: str) -> object:
        """Answer as asyncio's transports do."""
        ...


class SocketOwner(Protocol):
    """What is told about a socket."""

    def received(self, content: bytes | memoryview) -> None:
        """Take what was received; what lies in the buffer stays there until the next."""
        ...

    def eof_received(self) -> None:
        """Take the end of what the peer sends."""
        ...

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the connection."""
        ...

    def pause_writing(self) -> None:
        """Learn that not all that was written has gone to the kernel."""
        ...

    def resume_writing(self) -> None:
        """Learn that now it has."""
        ...


class TransportOwner(SocketOwner, Protocol):
    """What is told about a transport: an end that it takes has come from the peer itself."""

    def cut_off(self, error: Exception | None) -> None:
        """Take an end that need not have come from the peer, or what is wrong with its bytes."""
        ...
