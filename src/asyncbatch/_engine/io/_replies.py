"""
`Replies`: receives the answers of a proxy until the tunnel is open, for a task that waits.
"""

from __future__ import annotations

from asyncbatch._engine._event_loop import EventLoop, Future


class Replies:
    """
    The owner of a transport while its peer, a proxy, opens a tunnel.

    Args:
        loop: The event loop.
    """

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._received = bytearray()
        self.has_ended = False
        """Whether the bytes have ended."""
        self._error: Exception | None = None
        # Set when more arrives; `None` unless `receive` waits.
        self._waiter: Future[None] | None = None

    async def receive(self) -> bytes:
        """
        Return the bytes since the last call, waiting for the first; nothing at the end.

        Raises:
            Exception: The error that ended the connection.
        """
        if not (self._received or self.has_ended):
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if not self._received and self._error is not None:
            raise self._error
        content = bytes(self._received)
        self._received.clear()
        return content

    @property
    def has_more(self) -> bool:
        """Whether there are bytes that were not returned yet."""
        return bool(self._received)

    # Called by the transport.

    def received(self, content: bytes | memoryview) -> None:
        """Keep received bytes."""
        self._received += content
        self._wake()

    def eof_received(self) -> None:
        """Note the end of the peer's bytes."""
        self._bytes_ended(None)

    def cut_off(self, error: Exception | None) -> None:
        """Note an end that may not come from the peer."""
        self._bytes_ended(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the connection."""
        self._bytes_ended(exc)

    def pause_writing(self) -> None:
        """Do nothing: the proxy has read all bytes when it answers."""

    def resume_writing(self) -> None:
        """Do nothing."""

    def _bytes_ended(self, error: Exception | None) -> None:
        if not self.has_ended:
            self.has_ended = True
            self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
