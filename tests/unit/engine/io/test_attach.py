"""Transports on sockets: whose they are, and what becomes of the socket."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
import trustme

from asyncbatch._engine._event_loop import running_loop
from asyncbatch._engine.connect import _sockets
from asyncbatch._engine.io import _attach
from asyncbatch._engine.io._attach import Attacher
from asyncbatch._engine.io._closing import Closing
from asyncbatch._engine.io._loop_transport import LoopTransport
from asyncbatch._engine.io._readiness import EpollWatch, LoopWatch, Watch, watch_on
from asyncbatch._engine.io._socket_transport import SocketTransport
from asyncbatch._engine.io._tls_transport import TLSTransport
from tests import aio

AUTHORITY = trustme.CA()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Make connected sockets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    ours.setblocking(False)
    peer.setblocking(False)
    yield ours, peer
    ours.close()
    peer.close()


class Blind:
    """A watch on an event loop whose sockets cannot be watched."""

    can_look = False


class Owner:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.content = b""
        self.came = aio.Event()
        self.lost = aio.Event()

    def received(self, content: bytes | memoryview) -> None:
        self.content += bytes(content)
        self.came.set()

    def eof_received(self) -> None:
        pass

    def cut_off(self, error: Exception | None) -> None:
        pass

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        pass


def attacher(watch: Watch | None = None, *, is_blind: bool = False) -> tuple[Attacher, Closing]:
    """Return an attacher on the running loop, that leaves all to the loop if it is blind."""
    loop = running_loop()
    if is_blind and not isinstance(loop, asyncio.AbstractEventLoop):
        pytest.skip("trio has no transports")
    closing = Closing(loop)
    one = Attacher(loop, watch or watch_on(loop), memoryview(bytearray(99)), closing)
    if is_blind:
        one.can_watch = False
    return one, closing


def need_sockets_of_ours(one: Attacher) -> None:
    """Skip a test of transports of ours where the event loop's serve."""
    if not one.can_watch:
        pytest.skip("without an epoll this event loop serves sockets by transports of its own")


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return those of a server for `server.test` and of a client that trusts it."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    AUTHORITY.issue_cert("server.test").configure_cert(server)
    AUTHORITY.configure_trust(client)
    return server, client


@pytest.mark.skipif(
    not _sockets.CAN_WATCH, reason="the library finds no loop of asyncio's that watches sockets"
)
@pytest.mark.parametrize("kind", [EpollWatch, LoopWatch])
async def test_a_transport_of_ours_is_put_where_sockets_can_be_watched(
    kind: Any, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Without an epoll not on uvloop, which tells less of a reset."""
    loop = running_loop()
    is_asyncios = isinstance(loop, asyncio.AbstractEventLoop)
    is_ours = kind is EpollWatch or isinstance(loop, asyncio.SelectorEventLoop) or not is_asyncios
    one, _ = attacher(kind(loop))
    transport = one.attach_nowait(pair[0])

    assert isinstance(transport, SocketTransport) is is_ours
    assert transport is not None or not is_ours


@pytest.mark.parametrize("is_blind", [False, True])
async def test_bytes_go_both_ways(
    is_blind: bool, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Over a transport of ours and over the event loop's."""
    (ours, peer), owner = pair, Owner()
    one, closing = attacher(is_blind=is_blind)
    if not is_blind:
        need_sockets_of_ours(one)
    transport = await one.attach(ours)
    assert isinstance(transport, LoopTransport if is_blind else SocketTransport)
    transport.deliver_to(owner)  # type: ignore[arg-type]
    transport.write(b"out")
    peer.send(b"in")
    await anyio.wait_readable(peer)
    assert peer.recv(9) == b"out"
    await owner.came.wait()
    transport.abort()
    await owner.lost.wait()
    await closing.wait_until_ended()

    assert owner.content == b"in"


class Pausing(Owner):
    """Knows whether bytes of it wait to be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.is_paused = False
        self.resumed = asyncio.Event()

    def pause_writing(self) -> None:
        self.is_paused = True

    def resume_writing(self) -> None:
        self.is_paused = False
        self.resumed.set()


@pytest.mark.parametrize("size", [1, 7000, 500_000])
async def test_the_owner_is_paused_while_a_single_byte_is_held(
    size: int, pair: tuple[socket.socket, socket.socket]
) -> None:
    """By the event loop's transport, or an unsent request would lie before the next one."""
    one, closing = attacher(is_blind=True)
    owner, loop = Pausing(), asyncio.get_running_loop()
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    transport: Any = await one.attach(pair[0])
    transport.deliver_to(owner)
    written = received = 0
    while not owner.is_paused:
        assert transport._transport.get_write_buffer_size() == 0
        transport.write(bytes(size))
        written += size
    while received < written:
        received += len(await loop.sock_recv(pair[1], 1_000_000))
    await owner.resumed.wait()
    assert not owner.is_paused
    transport.abort()
    await closing.wait_until_ended()


async def shake_hands(
    one: Attacher, pair: tuple[socket.socket, socket.socket], name: str
) -> tuple[Any, ssl.SSLSocket]:
    """Shake hands over a pair of sockets, and return our transport and the server's end."""
    server, client = contexts()
    pair[1].setblocking(True)
    accepting = aio.ensure_future(aio.to_thread(accept, server, pair[1]))
    try:
        transport = await one.attach_tls(
            pair[0], client, name, memoryview(bytearray(99)), ["http/1.1"]
        )
    except BaseException:
        await aio.gather(accepting, return_exceptions=True)
        raise
    return transport, await accepting


def accept(context: ssl.SSLContext, sock: socket.socket) -> ssl.SSLSocket:
    """Shake hands as a server."""
    return context.wrap_socket(sock, server_side=True)


@pytest.mark.parametrize("is_blind", [False, True])
async def test_bytes_go_encrypted(
    is_blind: bool, pair: tuple[socket.socket, socket.socket]
) -> None:
    """By TLS of ours, over a transport of ours or the event loop's."""
    owner = Owner()
    one, closing = attacher(is_blind=is_blind)
    if not is_blind:
        need_sockets_of_ours(one)
    transport, peer = await shake_hands(one, pair, "server.test")
    assert isinstance(transport, TLSTransport)
    assert isinstance(transport._lower, LoopTransport if is_blind else SocketTransport)
    transport.deliver_to(owner)
    peer.send(b"in")
    await owner.came.wait()
    transport.abort()
    peer.close()
    await owner.lost.wait()
    await closing.wait_until_ended()
    await aio.sleep(0.01)

    assert owner.content == b"in"


@pytest.mark.parametrize("is_blind", [False, True])
async def test_a_name_that_the_certificate_has_not_closes_the_socket(
    is_blind: bool, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Nothing of it is left to wait for."""
    one, closing = attacher(is_blind=is_blind)
    with pytest.raises(ssl.SSLCertVerificationError):
        await shake_hands(one, pair, "other.test")
    await aio.sleep(0.01)
    await closing.wait_until_ended()

    assert pair[0].fileno() == -1
    assert not closing._open


async def test_a_socket_that_cannot_be_watched_for_tls_is_closed(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no transport that could close it."""
    one, _ = attacher()
    need_sockets_of_ours(one)
    _, client = contexts()

    def fail(*_: Any) -> None:
        raise OSError(24, "no descriptor")

    monkeypatch.setattr(SocketTransport, "deliver_to", fail)
    with pytest.raises(OSError, match="no descriptor"):
        await one.attach_tls(pair[0], client, "server.test", memoryview(bytearray(9)), ["http/1.1"])

    assert pair[0].fileno() == -1


@pytest.mark.parametrize("is_anothers", [True, False])
async def test_a_number_that_is_anothers_is_let_go(
    is_anothers: bool,
    pair: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The end of a socket whose number was given away would close what has it now, or later."""
    one, _ = attacher(is_blind=True)
    loop = asyncio.get_running_loop()
    others: list[socket.socket] = []

    async def fail(*_: Any, sock: socket.socket, **__: Any) -> None:
        # As uvloop 0.23 does where the peer was quick to reset.
        number = sock.fileno()
        socket.close(number)
        while is_anothers and (not others or others[-1].fileno() != number):
            others.append(socket.socket())
        raise ConnectionResetError

    monkeypatch.setattr(loop, "create_connection", fail, raising=False)
    with pytest.raises(ConnectionResetError):
        await one.attach(pair[0])

    assert pair[0].fileno() == -1
    for other in others:
        assert other.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
        other.close()


@pytest.mark.parametrize("is_blind", [False, True])
@pytest.mark.parametrize("tls", [False, True])
async def test_a_socket_that_no_memory_is_left_for_is_closed(
    monkeypatch: pytest.MonkeyPatch, *, is_blind: bool, tls: bool
) -> None:
    """Whoever keeps the error would keep it open."""
    one, _ = attacher(is_blind=is_blind)

    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(_attach, "SocketTransport", no_memory)
    monkeypatch.setattr(_attach, "LoopTransport", no_memory)
    ours, theirs = socket.socketpair()
    attaching = one.attach(ours)
    if tls:
        attaching.close()
        context = ssl.create_default_context()
        attaching = one.attach_tls(ours, context, "a.test", memoryview(b""), [])
    with theirs:
        with pytest.raises(MemoryError):
            await attaching

        assert ours.fileno() == -1
