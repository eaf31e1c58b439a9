"""
One connection of the loopback server: reads a request, carries out its steps, and repeats.

`Routes` decides the steps; the server counts and keeps the requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import anyio

from ._behaviour import End, Step
from ._request import BadRequestError, RecordedRequest, RequestReader
from ._stream import ServerStream

GOODBYE_TIMEOUT = 1.0
"""Seconds to wait for a refused client to stop sending."""


class ServerConnection:
    """The server's end of one connection, from the accept to the close."""

    def __init__(
        self,
        stream: ServerStream,
        begin: Callable[[RecordedRequest], Iterator[Step]],
        finish: Callable[[], None],
    ) -> None:
        """Take over `stream`.

        Args:
            stream: The stream, which is closed when `serve` returns.
            begin: Called with each request that has arrived; returns the steps of the answer.
            finish: Called when an answer has ended or was given up.
        """
        self._stream = stream
        self._begin = begin
        self._finish = finish
        self._reader = RequestReader()
        self._scope = anyio.CancelScope()
        # How to close the connection; set by the last step of an answer, or by `drop`.
        self._ending = End.CLOSE

    async def serve(self) -> None:
        """Answer requests until the client, a step or `drop` ends the connection."""
        try:
            with self._scope:
                await self._stream.handshake()
                await self._answer_all()
        except OSError:
            # The client has closed the connection, or refuses the certificate.
            pass
        finally:
            self._close()

    def drop(self, *, reset: bool) -> None:
        """Close the connection in any state; call it in the event loop of the server."""
        # The task that waits on the socket closes it. If it were closed here, its number could
        # belong to another connection before the event loop has unregistered it.
        self._ending = End.RESET if reset else End.CUT
        self._scope.cancel()

    async def _answer_all(self) -> None:
        try:
            while (request := await self._next_request()) is not None:
                if not await self._answer(request):
                    return
        except BadRequestError as error:
            await self._refuse(error)

    async def _next_request(self) -> RecordedRequest | None:
        """Return the next request, or `None` if the client has closed."""
        while not self._reader.requests:
            if not await self._receive():
                return None
        return self._reader.requests.popleft()

    async def _receive(self) -> bool:
        """Read what has arrived; return `False` if the client has closed."""
        content = await self._stream.receive()
        if content:
            self._reader.feed(content)
        if self._reader.wants_continue:
            self._reader.wants_continue = False
            await self._stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return bool(content)

    async def _answer(self, request: RecordedRequest) -> bool:
        """Carry out the steps, and return whether the connection may take another request."""
        steps = self._begin(request)
        is_kept = False
        try:
            for step in steps:
                if isinstance(step, bytes):
                    await self._stream.send(step)
                elif isinstance(step, End):
                    is_kept = await self._end_as(step)
                elif not await self._wait(step):
                    break
        finally:
            self._finish()
        return is_kept

    async def _wait(self, seconds: float) -> bool:
        """Wait; return `False` at once if the client closes meanwhile."""
        with anyio.move_on_after(seconds):
            await self._wait_closed()
            return False
        return True

    async def _wait_closed(self) -> None:
        while await self._receive():
            pass

    async def _end_as(self, end: End) -> bool:
        if end is End.HANG:
            await self._wait_closed()
        else:
            self._ending = end
        return end is End.KEEP

    def _close(self) -> None:
        match self._ending:
            case End.RESET:
                self._stream.reset()
            case End.CUT:
                self._stream.cut()
            case _:
                self._stream.close()

    async def _refuse(self, error: BadRequestError) -> None:
        """Answer malformed bytes with an error."""
        reply = f"HTTP/1.1 {error.status} Refused\r\nconnection: close\r\n\r\n{error}\n"
        with anyio.move_on_after(GOODBYE_TIMEOUT):
            await self._stream.send(reply.encode())
            await self._stream.finish()
