"""What a session has to send is written in pieces, as far as the kernel takes it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from asyncbatch._engine._exchange import Origin, Upload
from asyncbatch._engine.connection._session_writer import PIECE, SessionWriter
from asyncbatch._engine.connection._signs_of_life import SignsOfLife
from asyncbatch._values._proxy import proxy_of

ORIGIN = Origin(False, "host.test", 80)
HEAD = b"POST / HTTP/1.1\r\nHost: host.test\r\n"


def exchange_of(payload: bytes, body: Any = None) -> Any:
    """Return what is read of an exchange whose request is opened."""
    return SimpleNamespace(payload=payload, body=body)


class FakeSession:
    """Has so many bytes to send, and a body of which so many wait for the server."""

    def __init__(self, size: int = 0, body: int = 0) -> None:
        self.size = size
        self.body = body
        self.opened: list[tuple[Any, bool]] = []
        self.sent: list[tuple[int, bytes, bool]] = []
        self.consumed: list[tuple[int, int]] = []

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

    def consume(self, stream: int, size: int) -> None:
        self.consumed.append((stream, size))

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
    writer = SessionWriter(session, transport, signs, ORIGIN)  # type: ignore[arg-type]  # fakes
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

    payload = HEAD + b"Content-Length: 4\r\n\r\nbody"
    writer.open(stream, exchange_of(payload))  # type: ignore[arg-type]  # a fake
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
    body: Any = None  # it is not read
    upload = exchange_of(HEAD + b"\r\n", Upload(pieces=body))
    writer.open(stream, upload)  # type: ignore[arg-type]  # a fake

    assert writer.send_body(stream, b"abc", is_end=False) == 3  # type: ignore[arg-type]
    assert writer.send_body(stream, b"", is_end=True) == 3  # type: ignore[arg-type]
    assert [is_end for _, is_end in session.opened] == [False]
    assert session.sent == [(1, b"abc", False), (1, b"", True)]


def test_the_first_request_since_bytes_have_arrived_is_noted() -> None:
    """Its time, by which a connection counts as silent."""
    signs = SignsOfLife()
    writer = SessionWriter(FakeSession(), FakeTransport(), signs, ORIGIN)  # type: ignore[arg-type]
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


def test_a_request_without_a_body_ends_with_its_head() -> None:
    """Nothing of it waits for the server after that."""
    session, stream = FakeSession(), FakeStream()
    writer, _ = made(session)

    writer.open(stream, exchange_of(b"GET /a HTTP/1.1\r\nHost: host.test\r\n\r\n"))  # type: ignore[arg-type]

    [(fields, is_end)] = session.opened
    assert (b":path", b"/a") in tuple(fields)
    assert is_end
    assert not writer.uploads


def test_the_framing_of_chunks_is_taken_off() -> None:
    """HTTP/2 has its own."""
    session, stream = FakeSession(), FakeStream()
    writer, _ = made(session)
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

    writer.open(stream, exchange_of(head, b"3\r\nabc\r\n0\r\n\r\n"))  # type: ignore[arg-type]

    assert session.sent == [(1, b"abc", True)]


def test_credentials_for_a_proxy_do_not_pass_it() -> None:
    """A tunnel leads to the origin, which must not see them."""
    session, stream = FakeSession(), FakeStream()
    route = proxy_of("http://proxy.test:3128")
    origin = Origin(True, "host.test", 443, route=route)
    writer = SessionWriter(session, FakeTransport(), SignsOfLife(), origin)  # type: ignore[arg-type]
    head = b"GET / HTTP/1.1\r\nHost: host.test\r\nProxy-Authorization: secret\r\n\r\n"

    writer.open(stream, exchange_of(head))  # type: ignore[arg-type]  # a fake

    [(fields, _)] = session.opened
    assert b"secret" not in b"".join(value for _, value in fields)


def test_what_a_reader_takes_is_given_back_until_the_connection_ends() -> None:
    """The body can be read after that, but there is no server to send more."""
    session, stream = FakeSession(), FakeStream()
    writer, _ = made(session)

    writer.consume(stream, 3)  # type: ignore[arg-type]  # a fake
    writer.stop()
    writer.consume(stream, 4)  # type: ignore[arg-type]  # a fake

    assert session.consumed == [(0, 3)]
