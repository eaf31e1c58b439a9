"""
The interface between a connection and the transport below it.

There are three transports: of a plain socket, ours or the event loop's, and TLS over either.
"""

from __future__ import annotations

from typing import Protocol

from asyncbatch._engine.io._readiness import Poll
from asyncbatch._engine.io._refill import Refill


class Transport(Protocol):
    """An open connection to the peer: moves bytes, and calls its owner."""

    @property
    def poll(self) -> Poll:
        """Tells, when called with 0, whether the socket can be read from."""
        ...

    @property
    def poll_after_look(self) -> Poll | None:
        """The same after the pool's watch has looked; `None` if there is nothing left to tell."""
        ...

    def deliver_to(self, owner: TransportOwner) -> None:
        """
        Call `owner` from now on, and pass on at once what has already arrived.

        Raises:
            OSError: The socket cannot be watched; abort the transport.
        """
        ...

    def write(self, content: bytes) -> None:
        """Send; keep what the kernel does not take at once."""
        ...

    def receive_into(self, buffer: memoryview) -> None:
        """Receive into another buffer from now on."""
        ...

    def pause_reading(self) -> None:
        """Stop reading; the kernel keeps what arrives."""
        ...

    def resume_reading(self) -> None:
        """Resume reading; a refill has ended before."""
        ...

    def refill(self, most: int) -> Refill | None:
        """Pause reading, and return what receives up to `most` bytes; `None` if it cannot."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...

    def get_extra_info(self, name: str) -> object:
        """Return what asyncio's transports return."""
        ...


class SocketOwner(Protocol):
    """The owner of the transport of a socket, which calls these."""

    def received(self, content: bytes | memoryview) -> None:
        """Handle received bytes; those in the buffer stay there until the next call."""
        ...

    def eof_received(self) -> None:
        """Handle the end of the peer's bytes."""
        ...

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the end of the connection."""
        ...

    def pause_writing(self) -> None:
        """Note that bytes wait to be sent."""
        ...

    def resume_writing(self) -> None:
        """Note that the kernel has taken all bytes."""
        ...


class TransportOwner(SocketOwner, Protocol):
    """The owner of a transport; `eof_received` means here that the peer itself sent the end."""

    def cut_off(self, error: Exception | None) -> None:
        """Handle an end that may not come from the peer, or an error in its bytes."""
        ...
