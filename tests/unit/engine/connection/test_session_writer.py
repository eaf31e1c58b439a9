"""What a session has to send is written in pieces, as far as the kernel takes it."""

from __future__ import annotations

from typing import Any

from asyncbatch._engine.connection._session_writer import PIECE, SessionWriter
from asyncbatch._engine.connection._signs_of_life import SignsOfLife


class FakeSession:
    """Has so many bytes to send, and a body of which so many wait for the server."""

    def __init__(self, size: int = 0, body: int = 0) -> None:
        self.size = size
        self.body = body
        self.opened: list[tuple[Any, bool]] = []
        self.sent: list[tuple[int, bytes, bool]] = []

    def open_stream(self, fields: Any, *, is_end: bool) -> int:
        self.opened.append((fields, is_end))
        return 2 * len(self.opened) - 1

    def send_body(self, stream: int, content: bytes, *, is_end: bool) -> None:
        self.sent.append((stream, content, is_end))
        self.body += len(content)

    def end_body(self, stream: int) -> None:
        self.sent.append((stream, b"", True))

    def unsent(self, stream: int) -> int:
        return self.body

    def take_outgoing(self, limit: int) -> bytes:
        taken = min(self.size, limit)
        self.size -= taken
        return bytes(taken)


class FakeTransport:
    """Takes so many pieces before it pauses."""

    def __init__(self, takes: int = 1000) -> None:
        self.takes = takes
        self.pieces: list[int] = []
        self.writer: SessionWriter | None = None

    def write(self, content: bytes) -> None:
        self.pieces.append(len(content))
        if len(self.pieces) == self.takes:
            assert self.writer is not None
            self.writer.pause()


class FakeStream:
    """Notes what it is told of its body."""

    def __init__(self) -> None:
        self.number = 0
        self.exchange: Any = None
        self.told: list[int] = []

    def sent(self, unsent: int, now: float) -> bool:
        self.told.append(unsent)
        return not unsent


def made(session: FakeSession, takes: int = 1000) -> tuple[SessionWriter, FakeTransport]:
    transport = FakeTransport(takes)
    signs = SignsOfLife()
    writer = SessionWriter(session, transport, signs)  # type: ignore[arg-type]  # no more is called
    transport.writer = writer
    return writer, transport


def test_it_writes_in_pieces() -> None:
    """So that no second copy of a large upload exists."""
    writer, transport = made(FakeSession(2 * PIECE + 5))

    writer.flush()

    assert transport.pieces == [PIECE, PIECE, 5]


def test_it_stops_where_the_kernel_takes_no_more() -> None:
    """The rest stays in the session, until it does."""
    session = FakeSession(3 * PIECE)
    writer, transport = made(session, takes=1)

    writer.flush()
    writer.flush()
    assert (transport.pieces, session.size) == ([PIECE], 2 * PIECE)
    writer.resume()

    assert (transport.pieces, session.size) == ([PIECE] * 3, 0)


def test_a_body_is_followed_until_the_server_has_taken_it() -> None:
    """And the stream is told how much is left each time."""
    session, stream = FakeSession(), FakeStream()
    writer, _ = made(session)

    writer.open(stream, [], b"body", is_upload=False)  # type: ignore[arg-type]
    writer.flush()
    session.body = 0
    writer.flush()
    writer.flush()

    assert (stream.number, session.sent) == (1, [(1, b"body", True)])
    assert stream.told == [4, 0]
    assert not writer.uploads


def test_it_tells_how_much_of_a_piece_waits() -> None:
    """The end of a body is no piece of its own."""
    session, stream = FakeSession(), FakeStream()
    writer, _ = made(session)
    writer.open(stream, [], b"", is_upload=True)  # type: ignore[arg-type]

    assert writer.send_body(stream, b"abc", is_end=False) == 3  # type: ignore[arg-type]
    assert writer.send_body(stream, b"", is_end=True) == 3  # type: ignore[arg-type]
    assert session.opened == [([], False)]
    assert session.sent == [(1, b"abc", False), (1, b"", True)]


def test_the_first_request_since_bytes_have_arrived_is_noted() -> None:
    """Its time, by which a connection counts as silent."""
    signs = SignsOfLife()
    writer = SessionWriter(FakeSession(), FakeTransport(), signs)  # type: ignore[arg-type]
    writer.flush()
    assert signs.asked_at == 0.0

    writer.unsent.append(FakeStream())  # type: ignore[arg-type]
    writer.flush()
    first = signs.asked_at
    writer.unsent.append(FakeStream())  # type: ignore[arg-type]
    writer.flush()

    assert first > 0.0
    assert signs.asked_at == first


def test_nothing_is_written_after_the_end() -> None:
    """Neither what waits nor the last words."""
    writer, transport = made(FakeSession(10))

    writer.stop()
    writer.flush()
    writer.resume()
    writer.write_last()

    assert transport.pieces == []
