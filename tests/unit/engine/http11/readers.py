"""The same bytes read by us and by h11, as far as both can be compared."""

from __future__ import annotations

import h11

from asyncbatch._engine.http11 import ExchangeError, ResponseProtocol, ResponseState


def read_ours(wire: bytes, method: bytes, *, ends: bool) -> tuple[int, bytes] | None:
    """Return status and body, or None where the message is refused or incomplete."""
    protocol = ResponseProtocol()
    protocol.begin_response(method == b"HEAD")
    try:
        if not protocol.receive(wire) and ends:
            protocol.receive_eof()
    except ExchangeError:
        return None
    if protocol.state is not ResponseState.DONE or protocol.head is None:
        return None
    return protocol.head.status, protocol.take_body()


def read_h11(wire: bytes, method: bytes, *, ends: bool) -> tuple[int, bytes] | None:
    """Return the same by h11, read as httpcore reads it."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=100 * 1024)
    connection.send(h11.Request(method=method, target=b"/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(wire)
    if ends:
        connection.receive_data(b"")
    status, body = None, b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert status is not None
                return status, body
            elif event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                return None
    except h11.RemoteProtocolError:
        return None
