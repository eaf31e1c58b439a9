"""
One connection of the scripted server.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import struct
from collections.abc import Iterator

from . import _steps as steps
from ._delivery import cut
from ._run_state import Run
from ._steps import Script, Step

# Between two pieces, so that each is a segment and a read of its own.
BETWEEN_PIECES = 0.001
SECONDS_TO_CLOSE = 0.2
# How often a pause looks whether the client has gone.
LOOK = 0.01

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)")
_UNSCRIPTED = b"HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\n\r\nunscripted"


class Connection:
    """Follows a script, then answers canaries until the client closes."""

    def __init__(
        self,
        run: Run,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_other: bool = False,
    ) -> None:
        self._run = run
        self._reader = reader
        self._writer = writer
        self._is_other = is_other
        self._is_closed = False
        # What of a request's body has not been read: bytes, or chunks.
        self._left = 0
        self._is_chunked_left = False
        self._number = run.connections
        run.connections += 1

    async def serve(self) -> None:
        """Serve until either side closes."""
        run = self._run
        run.busy += 1
        try:
            # What a client does with a connection is its own business.
            with contextlib.suppress(EOFError, ConnectionError, ssl.SSLError, TimeoutError):
                while run.warm_left and not self._is_other:
                    self._answers_canary(await self._read_request())
                    run.warm_left -= 1
                if run.case.by_request:
                    await self._answer_in_turn()
                await self._follow(self._script())
                await self._drop_left_body()
                while not self._is_closed:
                    await self._next_request()
                    self._writer.write(_UNSCRIPTED)
        finally:
            run.busy -= 1

    async def _drop_left_body(self) -> None:
        with self._waiting():
            if self._is_chunked_left:
                await self._read_chunks()
            while self._left:
                self._left -= len(await self._reader.readexactly(min(self._left, 64 * 1024)))

    def _script(self) -> Script:
        run = self._run
        if run.case.by_request:
            return ()
        if self._is_other:
            return run.case.other
        # Once the client is done, what comes is a canary.
        if run.is_told:
            return ()
        if run.case_connection is None:
            run.case_connection = self._number
        return run.script_for(self._number - run.case_connection)

    async def _answer_in_turn(self) -> None:
        """Do what the script says for each request, whichever connections the others came on."""
        turns = self._run.turns[self._is_other]
        while turns and not self._is_closed:
            await self._next_request()
            await self._follow(turns.popleft() if turns else (steps.Send(_UNSCRIPTED),))

    async def _follow(self, script: Script) -> None:
        for step in script:
            if self._is_closed:
                return
            await self._take(step)

    async def _take(self, step: Step) -> None:
        match step:
            case steps.ReadRequest():
                await self._next_request()
            case steps.ReadHead():
                with self._waiting():
                    head = await self._reader.readuntil(b"\r\n\r\n")
                self._note(head)
                length = _LENGTH.search(head.lower())
                self._left = int(length.group(1)) if length else 0
                self._is_chunked_left = b"transfer-encoding: chunked" in head.lower()
            case steps.Send(content, may_cut):
                await self._send(self._run.fill_in(content), may_cut)
            case steps.Flood(content, limit):
                await self._flood(content, limit)
            case steps.Drip(content, seconds, limit):
                await self._drip(content, seconds, limit)
            case steps.Pause(seconds):
                await self._pause(seconds)
            case steps.UntilOutcome():
                await self._until_outcome()
            case steps.HalfClose():
                self._writer.write_eof()
            case steps.Close(abruptly):
                await self._close(abruptly)
            case steps.Reset():
                sock = self._writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                await self._close(abruptly=True)

    async def _close(self, abruptly: bool) -> None:
        self._is_closed = True
        if abruptly:
            self._writer.transport.abort()
        else:
            self._writer.close()
        # So that it has happened when the script counts as done; TLS may wait for the client.
        with contextlib.suppress(TimeoutError, OSError):
            await asyncio.wait_for(self._writer.wait_closed(), SECONDS_TO_CLOSE)

    async def _send(self, content: bytes, may_cut: bool) -> None:
        pieces = cut(content, self._run.delivery) if may_cut else [content]
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(BETWEEN_PIECES)
            self._writer.write(piece)
            await self._writer.drain()

    async def _flood(self, content: bytes, limit: int) -> None:
        block = content * max(1, 16 * 1024 // len(content))
        for _ in range(0, limit, len(block)):
            self._writer.write(block)
            await self._writer.drain()
            # Where the client takes all, draining does not wait, and nobody else would get a turn.
            await asyncio.sleep(0)

    async def _drip(self, content: bytes, seconds: float, limit: int) -> None:
        for sent in range(limit):
            if self._reader.at_eof():
                return
            self._writer.write(content[sent % len(content) :][:1])
            await self._writer.drain()
            await asyncio.sleep(seconds)

    async def _pause(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        # Nothing tells of the client's end but reading, and this is not the time to read.
        while (left := end - loop.time()) > 0 and not self._reader.at_eof():  # noqa: ASYNC110
            await asyncio.sleep(min(left, LOOK))

    async def _until_outcome(self) -> None:
        run = self._run
        if run.is_told:
            return
        # Whoever tells counts this connection as busy again, before anybody can look.
        run.busy -= 1
        run.awaiting_outcome += 1
        try:
            await run.told.wait()
        except BaseException:
            if not run.is_told:
                run.awaiting_outcome -= 1
                run.busy += 1
            raise

    async def _next_request(self) -> None:
        """Read a request that is no canary; answer those that come before it."""
        while True:
            request = await self._read_request()
            if not self._answers_canary(request):
                self._note(request)
                return

    def _answers_canary(self, request: bytes) -> bool:
        path = request.split(b" ", 2)[1]
        if not path.startswith(b"/canary/"):
            return False
        self._run.canaries[path.decode()] = self._number
        self._writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))
        return True

    def _note(self, request: bytes) -> None:
        seen = self._run.other_requests if self._is_other else self._run.requests
        seen.append(request)

    async def _read_request(self) -> bytes:
        with self._waiting():
            head = await self._reader.readuntil(b"\r\n\r\n")
            lowered = head.lower()
            if b"transfer-encoding: chunked" in lowered:
                return head + await self._read_chunks()
            if length := _LENGTH.search(lowered):
                return head + await self._reader.readexactly(int(length.group(1)))
            return head

    async def _read_chunks(self) -> bytes:
        body = b""
        while True:
            line = await self._reader.readuntil(b"\r\n")
            size = int(line, 16)
            body += line + await self._reader.readexactly(size + 2)
            if not size:
                return body

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        self._run.busy -= 1
        try:
            yield
        finally:
            self._run.busy += 1
