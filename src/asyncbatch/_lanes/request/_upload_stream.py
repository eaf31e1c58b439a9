"""
The stream of a body that is produced while it is sent, for httpx and for the engine.

httpx's own streams send an empty body, without an error, if an iterator or a file has been read
already (httpx 0.28). Here each sending reads from the beginning, or raises.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from typing import Any

from asyncbatch._lanes.failures._callers import CallersError, stray_cancellation
from asyncbatch._values._body_source import BodySource, Pieces, UnreadableBody, check_piece

# Returned instead of a piece at the end of a body.
_END = object()


async def _next(pieces: Any) -> Any:
    return next(pieces, _END)


def _same(step: Awaitable[Any]) -> Awaitable[Any]:
    return step


def _ignore() -> None:
    """Close nothing."""


@functools.cache
def upload_stream(library: Any) -> Any:
    """Return the class of request streams for one library."""

    class UploadStream(library.AsyncByteStream):  # type: ignore[misc]  # chosen at run time
        """
        A body that is read from the beginning each time that it is sent.

        Args:
            read: returns its pieces.
            sources: what the pieces are read from.
            close: called when a reading ends or is given up.
        """

        def __init__(
            self,
            read: Callable[[], Pieces],
            sources: list[BodySource],
            close: Callable[[], None] = _ignore,
        ) -> None:
            self._read = read
            self._close = close
            self.sources = sources
            self.stepped: Callable[[Awaitable[Any]], Awaitable[Any]] = _same
            """Wraps each call for a piece; set to measure the time that the calls take."""
            self.is_read = False
            """Whether the last reading has come to the end of the body."""

        def __aiter__(self) -> AsyncIterator[bytes]:
            self.is_read = False
            try:
                pieces = self._read()
            except UnreadableBody:
                raise
            except Exception as error:  # `__iter__` may be the caller's code
                raise CallersError(error) from None
            return _Sent(pieces, self.sources, self._close, self)

    return UploadStream


def check_whole(native: Any) -> None:
    """
    Refuse a request whose body has been read from and cannot be read again.

    Raises:
        UnreadableBody: If the body cannot be read again.
    """
    for source in getattr(native.stream, "sources", ()):
        source.check()


class _Sent:
    """Iterates once over the pieces of a body, from a sync or an async source."""

    def __init__(
        self, pieces: Pieces, sources: list[BodySource], close: Callable[[], None], stream: Any
    ) -> None:
        self._stream = stream
        self._pieces: Any = pieces
        self._sources = sources
        self._close = close
        self._is_async = hasattr(pieces, "__anext__")
        self._size = 0

    def __aiter__(self) -> _Sent:
        return self

    async def __anext__(self) -> bytes:
        pieces = self._pieces
        try:
            # The default is not None: a source that gives None is wrong, not at its end.
            piece = await self._stream.stepped(
                anext(pieces, _END) if self._is_async else _next(pieces)
            )
        except UnreadableBody:
            raise
        except Exception as error:
            raise CallersError(error) from None
        except BaseException as error:
            if (stand_in := stray_cancellation(error)) is not None:
                raise CallersError(stand_in) from None
            raise
        if piece is _END:
            self._end_reading()
            raise StopAsyncIteration
        checked = check_piece(piece)
        self._size += len(checked)
        return checked

    async def aclose(self) -> None:
        """
        Stop reading, and close a generator, which would otherwise wait for the garbage collector.

        A source of another kind is left to the caller to close.

        Raises:
            CallersError: If the generator raises when it is closed.
        """
        self._close()
        pieces = self._pieces
        try:
            if isinstance(pieces, AsyncGenerator):
                await self._stream.stepped(pieces.aclose())
            elif isinstance(pieces, Generator):
                pieces.close()
        except Exception as error:
            raise CallersError(error) from None

    def __del__(self) -> None:
        self._close()

    def _end_reading(self) -> None:
        self._stream.is_read = True
        self._close()
        if len(self._sources) != 1:
            return
        source = self._sources[0]
        if source.most and not self._size:
            raise UnreadableBody("what it is read from has nothing more to give")
        source.most = max(source.most, self._size)
