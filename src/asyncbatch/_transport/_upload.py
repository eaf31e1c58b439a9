"""
Streamed request bodies: from an async iterable to a connection, at the peer's pace.
"""

from __future__ import annotations

from asyncbatch._http11 import LAST_CHUNK, InvalidRequest, encode_chunk
from asyncbatch._transport._exchange import Exchange, Upload
from asyncbatch._transport._sending import Sending


async def send_upload(sending: Sending, exchange: Exchange, upload: Upload) -> None:
    """
    Send a body piece by piece; runs in a task of its own, next to the wait for the response.

    So an early response ends the upload, and a limit of time ends it even while the iterable
    has nothing to give. An exception of the iterable becomes the exchange's.
    """
    try:
        await _send_pieces(sending, upload)
    except Exception as exc:
        sending.upload_ended(exchange, exc)
    else:
        sending.upload_ended(exchange, None)


async def _send_pieces(sending: Sending, upload: Upload) -> None:
    remaining = upload.length
    async for piece in upload.pieces:
        if remaining is None:
            await sending.write(encode_chunk(piece))
            continue
        remaining -= len(piece)
        if remaining < 0:
            raise InvalidRequest("the request body is longer than its Content-Length")
        await sending.write(piece)
    if remaining is None:
        await sending.write(LAST_CHUNK)
    elif remaining:
        raise InvalidRequest("the request body is shorter than its Content-Length")
    # Where there was no piece, the head may not be out.
    await sending.wait_while_paused()
