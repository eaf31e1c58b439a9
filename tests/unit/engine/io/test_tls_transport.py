"""TLS on memory: however the bytes are cut, and whatever the peer does in between."""

from __future__ import annotations

import contextlib
import errno
import ssl
from typing import Any

import pytest
import trustme

from asyncbatch._engine._event_loop import running_loop
from asyncbatch._engine.io._readiness import never
from asyncbatch._engine.io._refill import Refill
from asyncbatch._engine.io._tls_transport import TLSTransport, report_cuts
from tests import aio

AUTHORITY = trustme.CA()


class Lower:
    """A transport that keeps what is written to it."""

    def __init__(self, owner: TLSTransport) -> None:
        self.owner = owner
        self.written = bytearray()
        self.writes = 0
        self.is_reading = True
        self.is_closed = False
        self.fails: Exception | None = None
        self.poll: Any = never
        self.poll_after_look: Any = None
        # What the kernel has, in place of the event loop; `None` if it cannot be received so.
        self.kernel: bytearray | None = None

    def refill(self, most: int) -> Refill | None:
        if self.kernel is None:
            return None
        self.pause_reading()
        return Refill(self._receive_into, most)

    def _receive_into(self, memory: memoryview) -> int:
        assert self.kernel is not None
        piece = self.kernel[: len(memory)]
        memory[: len(piece)] = piece
        del self.kernel[: len(piece)]
        if not piece:
            raise BlockingIOError
        return len(piece)

    def write(self, content: bytes) -> None:
        if self.fails is not None:
            raise self.fails
        self.written += content
        self.writes += 1

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def get_extra_info(self, name: str) -> object:
        return name

    def abort(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.owner.connection_lost(None)


class Owner:
    """A connection that remembers what it was told."""

    def __init__(self) -> None:
        self.content = b""
        self.events: list[str] = []
        self.error: Exception | None = None
        self.transport: Any = None
        self.pauses_at = -1

    def received(self, content: bytes | memoryview) -> None:
        self.content += bytes(content)
        if 0 <= self.pauses_at <= len(self.content):
            self.pauses_at = -1
            self.transport.pause_reading()

    def eof_received(self) -> None:
        self.events.append("end")

    def cut_off(self, error: Exception | None) -> None:
        if not self.events or self.events[-1] in ("pause", "resume"):
            self.events.append("cut")
            self.error = error

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")


class Object:
    """OpenSSL's object of a transport, in its place; it fails to write and to shake hands."""

    def __init__(self, tls: Any) -> None:
        self._real = tls._object
        self.fails: Exception | None = None
        self.takes = 0
        """How often it writes before it fails."""
        self.read, self.pending = self._real.read, self._real.pending
        tls._object = self

    def write(self, content: bytes) -> int:
        if self.fails is not None and not self.takes:
            raise self.fails
        self.takes -= 1
        count: int = self._real.write(content)
        return count

    def do_handshake(self) -> None:
        assert self.fails is not None
        raise self.fails


class Pair:
    """A transport under test, and a server in memory behind it."""

    def __init__(self, *, room: int = 1000, version: ssl.TLSVersion | None = None) -> None:
        client = ssl.create_default_context()
        AUTHORITY.configure_trust(client)
        report_cuts(client)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert("server.test").configure_cert(server)
        if version is not None:
            client.maximum_version = version
        self.owner = Owner()
        self.buffer = memoryview(bytearray(room))
        loop = running_loop()
        self.tls = TLSTransport(loop, client, "server.test", self.buffer, ["http/1.1"])
        self.owner.transport = self.tls
        self.lower = Lower(self.tls)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def deliver(self, transport: bytes, size: int = 4096) -> None:
        """Let the transport receive."""
        for start in range(0, len(transport), size):
            self.tls.received(transport[start : start + size])

    async def connect(self, size: int = 4096) -> None:
        """Shake hands, with the server's bytes in pieces of `size`, and take what comes."""
        await self.shake_hands(size)
        self.tls.deliver_to(self.owner)

    async def shake_hands(self, size: int = 4096) -> None:
        """Shake hands, with the server's bytes in pieces of `size`."""
        self.tls.begin_handshake(self.lower)  # type: ignore[arg-type]
        for _ in range(3):
            self.take()
            with contextlib.suppress(ssl.SSLWantReadError):
                self.server.do_handshake()
            self.deliver(self.outgoing.read(), size)
        await self.tls.wait_until_verified()
        await self.send_rest()
        with contextlib.suppress(ssl.SSLWantReadError):
            self.server.do_handshake()
        self.deliver(self.outgoing.read(), size)

    async def send_rest(self) -> None:
        """Let some turns pass, in which the end of the handshake is sent."""
        for _ in range(10):
            await aio.sleep(0)
        self.take()

    def take(self) -> None:
        """Hand the server what the transport has sent."""
        self.incoming.write(bytes(self.lower.written))
        self.lower.written.clear()

    def encrypted(self, content: bytes) -> bytes:
        """Return what the server sends for `content`."""
        self.server.write(content)
        return self.outgoing.read()


VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@VERSIONS
@pytest.mark.parametrize("size", [1, 7, 4096])
async def test_bytes_mean_the_same_however_they_are_cut(size: int, version: ssl.TLSVersion) -> None:
    """Handshake, tickets and records, in pieces of any size, and more than the buffer holds."""
    pair = Pair(version=version)
    await pair.connect(size)
    body = bytes(range(250)) * 20
    pair.deliver(pair.encrypted(b"hello"), size)
    assert pair.owner.content == b"hello"
    pair.deliver(pair.encrypted(b"") + pair.encrypted(body) + pair.encrypted(body), size)

    assert pair.owner.content == b"hello" + body + body
    assert pair.owner.events == []


@VERSIONS
async def test_what_is_written_arrives(version: ssl.TLSVersion) -> None:
    """Short and long, in their order."""
    pair = Pair(version=version)
    await pair.connect()
    long = b"x" * 700_000
    pair.tls.write(b"short")
    pair.tls.write(b"")
    pair.tls.write(long)
    pair.take()

    received = b""
    while len(received) < len(long) + 5:
        received += pair.server.read(100_000)
    assert received == b"short" + long


async def test_an_end_with_the_closing_alert_is_the_peers() -> None:
    """What came before is handed over first."""
    pair = Pair()
    await pair.connect()
    transport = pair.encrypted(b"last words")
    with pytest.raises(ssl.SSLWantReadError):
        pair.server.unwrap()
    pair.deliver(transport + pair.outgoing.read())

    assert pair.owner.content == b"last words"
    assert pair.owner.events == ["end", "lost"]
    assert pair.lower.is_closed


async def test_an_end_without_the_closing_alert_is_a_cut() -> None:
    """Anybody in between could have made it; there is no error to tell."""
    pair = Pair()
    await pair.connect()
    pair.deliver(pair.encrypted(b"half a wo"))
    pair.tls.eof_received()

    assert pair.owner.content == b"half a wo"
    assert pair.owner.events == ["cut", "lost"]
    assert pair.owner.error is None


async def test_the_end_of_the_socket_is_a_cut() -> None:
    """Also where the event loop calls it orderly: without the alert it is not."""
    pair = Pair()
    await pair.connect()
    pair.tls.connection_lost(None)

    assert pair.owner.events == ["cut", "lost"]


async def test_a_record_that_was_tampered_with_is_a_cut_with_an_error() -> None:
    """Nothing of it is handed over, and the peer is told."""
    pair = Pair()
    await pair.connect()
    transport = bytearray(pair.encrypted(b"secret"))
    transport[-1] ^= 1
    pair.lower.written.clear()
    pair.deliver(bytes(transport))

    assert pair.owner.content == b""
    assert pair.owner.events == ["cut", "lost"]
    assert isinstance(pair.owner.error, ssl.SSLError)
    assert pair.lower.written


async def test_a_reader_that_pauses_gets_the_rest_when_it_resumes() -> None:
    """Also what had been received before it paused, though nothing more comes."""
    pair = Pair(room=100)
    await pair.connect()
    body = bytes(range(250)) * 10
    pair.owner.pauses_at = 300
    pair.deliver(pair.encrypted(body))
    assert len(pair.owner.content) == 300
    assert not pair.lower.is_reading
    pair.tls.resume_reading()
    await aio.sleep(0)

    assert pair.lower.is_reading
    assert pair.owner.content == body


async def test_a_peer_that_is_not_trusted_is_never_used() -> None:
    """The transport is closed, and the peer gets an alert."""
    pair = Pair()
    pair.tls = TLSTransport(
        running_loop(),
        ssl.create_default_context(),
        "server.test",
        pair.buffer,
        ["http/1.1"],
    )
    pair.lower = Lower(pair.tls)
    pair.tls.begin_handshake(pair.lower)  # type: ignore[arg-type]
    pair.take()
    with contextlib.suppress(ssl.SSLWantReadError):
        pair.server.do_handshake()
    pair.deliver(pair.outgoing.read())
    pair.take()
    with pytest.raises(ssl.SSLCertVerificationError):
        await pair.tls.wait_until_verified()
    with pytest.raises(ssl.SSLError, match=r"(?i)unknown.ca"):
        pair.server.do_handshake()

    assert pair.lower.is_closed


@pytest.mark.parametrize("end", ["eof", "lost"])
async def test_an_end_in_the_handshake_fails_it(end: str) -> None:
    """Whether orderly or not."""
    pair = Pair()
    pair.tls.begin_handshake(pair.lower)  # type: ignore[arg-type]
    if end == "eof":
        pair.tls.eof_received()
    else:
        pair.tls.connection_lost(ConnectionResetError())

    with pytest.raises(OSError):  # noqa: PT011  # of which kind, OpenSSL decides
        await pair.tls.wait_until_verified()


async def test_what_comes_before_anybody_wants_it_is_kept() -> None:
    """A server may speak first, and the owner comes some turns after the handshake."""
    pair = Pair()
    await pair.shake_hands()
    body = bytes(range(250)) * 10
    pair.deliver(pair.encrypted(b"first ") + pair.encrypted(body))
    pair.tls.deliver_to(pair.owner)
    pair.deliver(pair.encrypted(b" last"))

    assert pair.owner.content == b"first " + body + b" last"
    assert pair.owner.events == []


async def test_an_end_before_anybody_wants_what_comes_is_told() -> None:
    """The owner that comes later is told at once that the connection has ended."""
    pair = Pair()
    await pair.shake_hands()
    pair.tls.eof_received()
    pair.lower.abort()
    pair.tls.deliver_to(pair.owner)

    assert pair.owner.events == ["cut", "lost"]
    assert not pair.tls.poll(0)


async def test_what_came_before_such_an_end_is_read_first() -> None:
    """The end itself may be the peer's own, and an alert says why it came."""
    pair = Pair()
    await pair.shake_hands()
    pair.deliver(pair.encrypted(b"the last word"))
    with contextlib.suppress(ssl.SSLWantReadError):
        pair.server.unwrap()
    pair.deliver(pair.outgoing.read())
    pair.tls.eof_received()
    pair.lower.abort()
    pair.tls.deliver_to(pair.owner)

    assert pair.owner.content == b"the last word"
    assert pair.owner.events == ["end", "lost"]


async def test_the_error_of_an_early_end_is_passed_on() -> None:
    """Such as a reset."""
    pair = Pair()
    await pair.shake_hands()
    error = ConnectionResetError()
    pair.tls.connection_lost(error)
    pair.tls.deliver_to(pair.owner)

    assert pair.owner.error is error


async def test_what_cannot_be_encrypted_yet_is_kept() -> None:
    """OpenSSL may want to hear from the peer before it takes more: a renegotiation."""
    pair = Pair()
    await pair.connect()
    busy = Object(pair.tls)
    busy.fails = ssl.SSLWantReadError()
    pair.tls.write(b"one ")
    pair.tls.write(b"two")
    pair.tls.resume_writing()
    assert pair.owner.events == ["pause"]
    pair.deliver(pair.encrypted(b"not yet"))
    assert "resume" not in pair.owner.events
    busy.fails = None
    pair.deliver(pair.encrypted(b"go on"))
    pair.take()

    assert pair.server.read(100) == b"one two"
    assert pair.owner.events[-1] == "resume"


async def test_a_long_content_goes_on_where_openssl_stopped() -> None:
    """Nothing of it is sent twice."""
    pair = Pair()
    await pair.connect()
    content = bytes(range(256)) * 4000
    busy = Object(pair.tls)
    busy.fails, busy.takes = ssl.SSLWantReadError(), 1
    pair.tls.write(content)
    assert pair.lower.written
    busy.fails = None
    pair.deliver(pair.encrypted(b"go on"))
    pair.take()

    received = b""
    while len(received) < len(content):
        received += pair.server.read(100_000)
    assert received == content
    assert pair.owner.events == ["pause", "resume"]


@pytest.mark.parametrize("error", [ssl.SSLError("bad length"), MemoryError()])
async def test_what_cannot_be_encrypted_ends_the_connection(error: Exception) -> None:
    """With the error: the peer would wait for a request that never comes."""
    pair = Pair()
    await pair.connect()
    Object(pair.tls).fails = error
    pair.tls.write(b"x")

    assert pair.owner.error is error
    assert pair.lower.is_closed


async def test_no_memory_for_what_was_encrypted_ends_the_connection() -> None:
    """It has left OpenSSL's memory, and could not be sent a second time."""
    pair = Pair()
    await pair.connect()
    pair.lower.fails = MemoryError()
    pair.tls.write(b"x")

    assert pair.owner.error is pair.lower.fails
    assert pair.lower.is_closed


async def test_no_memory_for_the_handshake_fails_it_as_the_system_would() -> None:
    """So that callers see one kind of error where they see connections fail."""
    pair = Pair()
    Object(pair.tls).fails = MemoryError()
    pair.tls.begin_handshake(pair.lower)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="no memory") as caught:
        await pair.tls.wait_until_verified()

    assert caught.value.errno == errno.ENOMEM
    assert pair.lower.is_closed


async def test_an_owner_hears_that_the_kernel_has_room_again() -> None:
    """From the transport below, which alone knows."""
    pair = Pair()
    await pair.connect()
    pair.tls.pause_writing()
    pair.tls.resume_writing()

    assert pair.owner.events == ["pause", "resume"]


async def test_nothing_is_read_or_paused_after_the_end() -> None:
    """There is nothing below any more."""
    pair = Pair()
    await pair.connect()
    pair.tls.abort()
    pair.tls.pause_reading()
    pair.tls.resume_reading()
    await aio.sleep(0)

    assert pair.owner.events == ["cut", "lost"]
    assert pair.tls.get_extra_info("socket") is None


@VERSIONS
@pytest.mark.parametrize("size", [1, 3, 7, 4096])
async def test_a_part_of_a_record_can_be_polled_for(size: int, version: ssl.TLSVersion) -> None:
    """From its first byte to the last but one, wherever it is cut; not a whole one, or a ticket."""
    pair = Pair(version=version)
    await pair.connect(size)
    poll_after_look = pair.tls.poll_after_look
    assert poll_after_look is not None
    assert not pair.tls.poll(0)
    assert not poll_after_look(0)

    records = pair.encrypted(b"a" * 300) + pair.encrypted(b"b")
    second = len(records) - len(pair.encrypted(b"c"))
    for end in range(size, len(records) + size, size):
        pair.tls.received(records[end - size : end])
        is_whole = end >= len(records) or end == second
        assert bool(pair.tls.poll(0)) is not is_whole, end
        assert bool(poll_after_look(0)) is not is_whole, end

    assert pair.owner.content == b"a" * 300 + b"b"


@pytest.mark.parametrize("is_watched", [False, True])
async def test_the_socket_is_asked_for_more_only_if_the_watch_has_not_read_it(
    is_watched: bool,
) -> None:
    """Each time is a call of the system."""
    pair = Pair()
    await pair.connect()
    pair.lower.poll = lambda timeout: [timeout]
    pair.lower.poll_after_look = None if is_watched else pair.lower.poll
    poll_after_look = pair.tls.poll_after_look

    assert poll_after_look is not None
    assert bool(poll_after_look(0)) is not is_watched
    assert pair.tls.poll(0)


@VERSIONS
async def test_the_end_of_the_handshake_goes_with_the_first_request(
    version: ssl.TLSVersion,
) -> None:
    """In one write, if the request is there within two turns of the loop."""
    pair = Pair(version=version)
    pair.tls.begin_handshake(pair.lower)  # type: ignore[arg-type]
    while pair.tls._is_shaking:
        pair.take()
        with contextlib.suppress(ssl.SSLWantReadError):
            pair.server.do_handshake()
        pair.deliver(pair.outgoing.read())
    pair.lower.writes = 0
    pair.tls.deliver_to(pair.owner)
    pair.tls.write(b"request")
    await pair.send_rest()

    assert pair.lower.writes == 1
    assert pair.server.read() == b"request"
    await pair.tls.wait_until_verified()


async def test_the_end_of_the_handshake_is_sent_without_a_request_too() -> None:
    """The server waits for it."""
    pair = Pair(version=ssl.TLSVersion.TLSv1_3)
    pair.tls.begin_handshake(pair.lower)  # type: ignore[arg-type]
    pair.take()
    with contextlib.suppress(ssl.SSLWantReadError):
        pair.server.do_handshake()
    pair.deliver(pair.outgoing.read())
    await pair.tls.wait_until_verified()
    await pair.send_rest()
    pair.server.do_handshake()

    assert pair.server.version() == "TLSv1.3"


def refilled(refill: Refill | None, room: int = 300) -> bytes:
    """Return what a thread receives, which has a memory of `room` bytes."""
    assert refill is not None
    received, memory = b"", memoryview(bytearray(room))
    while size := refill(memory):
        received += memory[:size]
    return received


@VERSIONS
@pytest.mark.parametrize("here", [0, 1, 5000, 60_000])
async def test_a_thread_decrypts_in_its_place(version: ssl.TLSVersion, here: int) -> None:
    """Beginning with what is here already; what is left comes as usual, when reading is resumed."""
    pair = Pair(version=version)
    await pair.connect()
    body = bytes(range(250)) * 400
    transport = pair.encrypted(body)
    pair.lower.kernel = bytearray(transport[here:])
    pair.tls.pause_reading()
    pair.deliver(transport[:here])
    refill = pair.tls.refill(90_000)
    received = refilled(refill)
    assert refill is not None
    refill.stop_receiving()
    assert not pair.owner.content
    pair.tls.resume_reading()
    await aio.sleep(0)
    pair.deliver(bytes(pair.lower.kernel))

    # The limit also holds for what the kernel gives, which is a little longer.
    assert 80_000 < len(received) <= 90_000
    assert received + pair.owner.content == body
    assert pair.owner.events == []
    assert pair.tls.poll(0) == ()


async def test_a_thread_receives_what_it_can_of_a_record() -> None:
    """The rest of the record comes later, wherever it is cut."""
    pair = Pair()
    await pair.connect()
    transport = pair.encrypted(b"first") + pair.encrypted(b"second")
    pair.lower.kernel = bytearray()
    refill = pair.tls.refill(1000)
    pieces = []
    for start in range(len(transport)):
        pair.lower.kernel += transport[start : start + 1]
        pieces.append(refilled(refill))

    assert [piece for piece in pieces if piece] == [b"first", b"second"]


async def test_no_thread_receives_what_the_event_loop_may_be_receiving() -> None:
    """The transport below says so; after the end, there is none."""
    pair = Pair()
    await pair.connect()
    assert pair.tls.refill(1000) is None
    assert pair.lower.is_reading
    pair.tls.abort()

    assert pair.tls.refill(1000) is None


@pytest.mark.parametrize("wrong", [False, True], ids=["the closing alert", "a wrong record"])
async def test_the_end_that_a_thread_finds_is_told_when_reading_is_resumed(wrong: bool) -> None:
    """With its error, which OpenSSL tells once only, and after the bytes before it."""
    pair = Pair()
    await pair.connect()
    transport = pair.encrypted(b"last words")
    if wrong:
        end = bytearray(pair.encrypted(b"wrong"))
        end[-1] ^= 1
    else:
        with pytest.raises(ssl.SSLWantReadError):
            pair.server.unwrap()
        end = bytearray(pair.outgoing.read())
    pair.lower.kernel = bytearray(transport) + end
    refill = pair.tls.refill(1000)
    received = refilled(refill)
    await aio.sleep(0)
    assert pair.owner.events == []
    pair.tls.resume_reading()
    await aio.sleep(0)

    assert received == b"last words"
    assert pair.owner.events == (["cut", "lost"] if wrong else ["end", "lost"])
    assert isinstance(pair.owner.error, ssl.SSLError) is wrong
    assert pair.lower.is_closed


async def test_no_memory_in_a_thread_is_told_when_reading_is_resumed() -> None:
    """The bytes are gone, and the connection with them."""
    pair = Pair()
    await pair.connect()
    pair.lower.kernel = bytearray(pair.encrypted(b"lost"))
    refill = pair.tls.refill(1000)
    error = MemoryError()

    class Full:
        pending = 0

        def write(self, content: bytes) -> int:
            raise error

    pair.tls._incoming = Full()  # type: ignore[assignment]
    assert refilled(refill) == b""
    pair.tls.resume_reading()
    await aio.sleep(0)

    assert pair.owner.error is error
    assert pair.lower.is_closed


@pytest.mark.parametrize("act", ["write", "abort"])
async def test_a_thread_decrypts_nothing_once_something_else_is_done(act: str) -> None:
    """OpenSSL has no locks; what is left comes as usual."""
    pair = Pair()
    await pair.connect()
    pair.lower.kernel = bytearray(pair.encrypted(b"later"))
    refill = pair.tls.refill(1000)
    if act == "write":
        pair.tls.write(b"the rest of an upload")
    else:
        pair.tls.abort()
    received = refilled(refill)
    pair.tls.resume_reading()
    pair.deliver(bytes(pair.lower.kernel))

    assert received == b""
    assert pair.owner.content == (b"later" if act == "write" else b"")
