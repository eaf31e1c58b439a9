"""
What a proxy sends before there is a connection through it, for a task that waits for it.
"""

from __future__ import annotations

from asyncbatch._engine._event_loop import EventLoop, Future


class Replies:
    """
    The owner of a transport for as long as its peer is asked for a connection.

    Args:
        loop: the event loop.
    """

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._received = bytearray()
        self.has_ended = False
        """Whether no more comes."""
        self._error: Exception | None = None
        # Who waits for more; None: nobody.
        self._waiter: Future[None] | None = None

    async def receive(self) -> bytes:
        """
        Return what has come since the last call, as soon as there is something; nothing: the end.

        Raises:
            Exception: what the connection has broken of.
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
        """Whether something has come that has not been returned."""
        return bool(self._received)

    # What the transport calls.

    def received(self, content: bytes | memoryview) -> None:
        """Take what was received."""
        self._received += content
        self._wake()

    def eof_received(self) -> None:
        """Take the end of what the peer sends."""
        self._end(None)

    def cut_off(self, error: Exception | None) -> None:
        """Take an end that need not be the peer's."""
        self._end(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the connection."""
        self._end(exc)

    def pause_writing(self) -> None:
        """Wait for the reply, in which the peer will have read what is on the way."""

    def resume_writing(self) -> None:
        """Wait on."""

    def _end(self, error: Exception | None) -> None:
        if not self.has_ended:
            self.has_ended = True
            self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
