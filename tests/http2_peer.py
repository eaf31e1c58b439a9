"""HTTP/2 servers for tests: h2 as the peer, and frames that h2 would not send."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack

SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 4, 6, 7, 8
DATA, HEADERS, PRIORITY, RST_STREAM, PUSH_PROMISE, CONTINUATION = 0, 1, 2, 3, 5, 9
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8

Headers = Iterable[tuple[str, str]]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """Return the bytes of any frame, valid or not."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + number(stream) + payload


def number(value: int, size: int = 4) -> bytes:
    """Return an integer in network order."""
    return value.to_bytes(size, "big")


def block(*fields: tuple[str, str]) -> bytes:
    """Return a block of fields that refers to nothing before it."""
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    encoded: bytes = encoder.encode([(name, value) for name, value in fields])
    return encoded


def settings(values: Mapping[int, int] | None = None) -> bytes:
    """Return a SETTINGS frame."""
    pairs = (values or {}).items()
    return frame(SETTINGS, 0, 0, b"".join(number(k, 2) + number(v) for k, v in pairs))


def head(stream: int, *fields: tuple[str, str], end: bool = False, status: str = "200") -> bytes:
    """Return a whole response head in one frame."""
    flags = END_HEADERS | (END_STREAM if end else 0)
    return frame(HEADERS, flags, stream, block((":status", status), *fields))


def data(stream: int, content: bytes, *, end: bool = False) -> bytes:
    """Return one DATA frame."""
    return frame(DATA, END_STREAM if end else 0, stream, content)


def reset(stream: int, code: int) -> bytes:
    """Return a RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream, number(code))


def goaway(last: int, code: int = 0, debug: bytes = b"") -> bytes:
    """Return a GOAWAY frame."""
    return frame(GOAWAY, 0, 0, number(last) + number(code) + debug)


class Peer:
    """
    A server of h2, without I/O.

    Attributes:
        requests: The headers of each request, by stream.
        bodies: The bytes of each request's body so far, by stream.
        ended: The streams whose requests are whole.
        events: All events.
    """

    def __init__(self, max_streams: int | None = 100, window: int | None = None) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2: Any = h2.connection.H2Connection(config)
        values: dict[Any, int] = {}
        if max_streams is not None:
            values[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = max_streams
        if window is not None:
            values[h2.settings.SettingCodes.INITIAL_WINDOW_SIZE] = window
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=values)
        self.h2.initiate_connection()
        self.requests: dict[int, list[tuple[str, str]]] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.events: list[Any] = []
        self.takes_bodies = True
        """Whether the windows of request bodies are given back at once."""

    def receive(self, content: bytes) -> list[Any]:
        """Handle bytes of the client, and return the events."""
        events: list[Any] = self.h2.receive_data(content)
        for event in events:
            if isinstance(event, h2.events.RequestReceived):
                self.requests[event.stream_id] = list(event.headers)
                self.bodies[event.stream_id] = b""
            elif isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] += event.data
                if self.takes_bodies:
                    length = event.flow_controlled_length
                    self.h2.acknowledge_received_data(length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)
        self.events += events
        return events

    def respond(
        self, stream: int, body: bytes = b"", *fields: tuple[str, str], status: str = "200"
    ) -> None:
        """Answer a request."""
        self.h2.send_headers(stream, [(":status", status), *fields], end_stream=not body)
        for start in range(0, len(body), 16384):
            piece = body[start : start + 16384]
            self.h2.send_data(stream, piece, end_stream=start + 16384 >= len(body))

    def take(self) -> bytes:
        """Return the bytes to send."""
        content: bytes = self.h2.data_to_send()
        return content
