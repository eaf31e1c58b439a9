"""
Streamed request bodies: from an async iterable to a connection, at the peer's pace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncbatch._http11 import LAST_CHUNK, InvalidRequest, encode_chunk
from asyncbatch._transport._exchange import Exchange, Upload

if TYPE_CHECKING:
    from asyncbatch._transport._connection import Connection


async def send_upload(connection: Connection, exchange: Exchange, upload: Upload) -> None:
    """
    Send a body piece by piece; runs in a task of its own, next to the wait for the response.

    So an early response ends the upload, and a limit of time ends it even while the iterable
    has nothing to give. An exception of the iterable becomes the exchange's.
    """
    try:
        await _send_pieces(connection, upload)
    except Exception as exc:
        # Still ours? Otherwise the exchange ended first, and this is its echo.
        if connection.exchange is exchange:
            connection.sender = None
            connection.fail(exc)
    else:
        if connection.exchange is exchange:
            connection.upload_sent()


async def _send_pieces(connection: Connection, upload: Upload) -> None:
    remaining = upload.length
    async for piece in upload.pieces:
        if remaining is None:
            connection.write(encode_chunk(piece))
        else:
            remaining -= len(piece)
            if remaining < 0:
                raise InvalidRequest("the request body is longer than its Content-Length")
            connection.write(piece)
        await _drain(connection)
    if remaining is None:
        connection.write(LAST_CHUNK)
    elif remaining:
        raise InvalidRequest("the request body is shorter than its Content-Length")
    await _drain(connection)


async def _drain(connection: Connection) -> None:
    if connection.is_write_paused:
        waiter = connection.write_waiter = connection.loop.create_future()
        try:
            await waiter
        finally:
            connection.write_waiter = None
