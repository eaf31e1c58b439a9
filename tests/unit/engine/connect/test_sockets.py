"""From an address to a connected socket; one that cannot be connected is closed."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from asyncbatch._engine._event_loop import running_loop
from asyncbatch._engine.connect import _sockets
from asyncbatch._engine.connect._resolver import Address
from asyncbatch._engine.connect._sockets import (
    SocketOpener,
    StartedConnect,
    connect_socket,
    connect_unix,
)
from tests import aio


def address_of(sock: socket.socket) -> Address:
    return Address(socket.AF_INET, sock.getsockname())


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def nobody() -> Address:
    """Return an address where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return address_of(sock)


class Noting(SocketOpener):
    """Remembers the sockets that it has made."""

    def __init__(self, *options: Any, local_address: str | None = None) -> None:
        super().__init__(local_address, options)
        self.made: list[socket.socket] = []

    def _new_socket(self, address: Address) -> socket.socket:
        self.made.append(super()._new_socket(address))
        return self.made[-1]

    @property
    def are_closed(self) -> bool:
        """Has it made some, and are all of them closed?"""
        return {sock.fileno() for sock in self.made} == {-1}


async def opened(kind: str, opener: SocketOpener, address: Address) -> socket.socket:
    """Open a socket in one go, or begin and finish."""
    if kind == "connect":
        return await opener.connect(address)
    begun = opener.begin_connect(address)
    return begun.sock if begun.is_connected else await opener.finish_connect(begun)


@pytest.mark.parametrize("non_blocking", [_sockets._NON_BLOCKING, 0], ids=["as here", "by a call"])
@pytest.mark.parametrize("kind", ["connect", "begin"])
async def test_a_socket_has_the_options_that_all_get(
    kind: str, non_blocking: int, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No delay, no blocking, those of the caller, and where it connects from."""
    monkeypatch.setattr(_sockets, "_NON_BLOCKING", non_blocking)  # 0: as on macOS and Windows
    one = Noting((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), local_address="127.0.0.2")
    with contextlib.closing(await opened(kind, one, address_of(listener))) as sock:
        assert sock.getpeername() == listener.getsockname()
        assert sock.getsockname()[0] == "127.0.0.2"
        assert not sock.getblocking()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize("kind", ["connect", "begin"])
async def test_a_refused_socket_is_closed(kind: str, nobody: Address) -> None:
    """The kernel says so at once."""
    opener = Noting()
    with pytest.raises(ConnectionRefusedError):
        await opened(kind, opener, nobody)

    assert opener.are_closed


@pytest.mark.parametrize("option", [(1,), (-1, -1, -1), (socket.SOL_SOCKET, "x", 1)])
async def test_options_that_there_are_not_leave_no_socket_open(
    option: Any, listener: socket.socket
) -> None:
    """The error is the kernel's or Python's own; an open socket would fail this test."""
    with pytest.raises((OSError, TypeError)):
        SocketOpener(None, [option]).begin_connect(address_of(listener))


@pytest.fixture
def never_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a connect to this host take a turn, as one to another host does."""

    def begin(sock: socket.socket, address: tuple[Any, ...]) -> bool:
        sock.connect_ex(address)
        return False

    monkeypatch.setattr(_sockets, "begin_connect", begin)


@pytest.mark.parametrize("kind", ["connect", "begin"])
async def test_a_connect_that_takes_a_while_is_finished_later(
    kind: str, never_at_once: None, listener: socket.socket
) -> None:
    """When the socket is writable."""
    with contextlib.closing(await opened(kind, Noting(), address_of(listener))) as sock:
        assert sock.getpeername() == listener.getsockname()


@pytest.mark.parametrize("kind", ["connect", "begin"])
async def test_a_connect_that_fails_after_a_while_closes_the_socket(
    kind: str, never_at_once: None, nobody: Address
) -> None:
    """With the error that the socket has by then."""
    opener = Noting()
    with pytest.raises(ConnectionRefusedError, match="Connect call failed"):
        await opened(kind, opener, nobody)

    assert opener.are_closed


@pytest.mark.skipif(
    not _sockets.CAN_WATCH, reason="the connect is made to last where the loop is not asked for it"
)
@pytest.mark.parametrize("kind", ["connect", "begin"])
async def test_a_connect_that_is_cancelled_closes_the_socket(
    kind: str, monkeypatch: pytest.MonkeyPatch, nobody: Address
) -> None:
    """And the loop does not watch it any more."""
    monkeypatch.setattr(_sockets, "begin_connect", lambda *_: False)
    monkeypatch.setattr(
        Noting, "_new_socket", lambda self, _: self.made.append(ours) or ours, raising=False
    )
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            ours.send(bytes(65536))
    opener = Noting()
    task = aio.ensure_future(opened(kind, opener, nobody))
    while not opener.made:  # a busy machine may begin the task late
        await aio.sleep(0.01)
    assert not task.done()
    task.cancel()
    with pytest.raises(aio.CancelledError):
        await task
    peer.close()

    assert opener.are_closed


async def test_a_socket_that_is_writable_when_the_wait_has_been_cancelled_wakes_nobody() -> None:
    """The event loop has found both in the same turn, and cancels first."""
    callbacks: list[Callable[[], None]] = []
    loop: Any = SimpleNamespace(
        create_future=running_loop().create_future,
        add_writer=lambda _, callback: callbacks.append(callback),
        remove_writer=lambda _: None,
    )
    task = aio.ensure_future(_sockets._until_writable(loop, 0))
    while not callbacks:
        await aio.sleep(0)
    task.cancel()
    callbacks[0]()
    with pytest.raises(aio.CancelledError):
        await task


async def test_where_sockets_cannot_be_watched_the_loop_connects(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    """As on Windows."""
    monkeypatch.setattr(_sockets, "CAN_WATCH", False)
    with socket.socket() as sock:
        sock.setblocking(False)
        await connect_socket(sock, listener.getsockname())

        assert sock.getpeername() == listener.getsockname()


async def test_a_path_is_connected_to(socket_path: str) -> None:
    """Where nobody listens the socket is closed: an open one would fail this test."""
    with pytest.raises(FileNotFoundError):
        await connect_unix(socket_path)
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(socket_path)
        listener.listen()
        with contextlib.closing(await connect_unix(socket_path)) as sock:
            assert sock.getpeername() == socket_path
            assert not sock.getblocking()


async def test_what_was_begun_knows_its_address(listener: socket.socket) -> None:
    """And since when it has been under way."""
    begun = Noting().begin_connect(address_of(listener))
    with begun.sock:
        assert isinstance(begun, StartedConnect)
        assert begun.address == address_of(listener)
        assert begun.started > 0
