"""A transport over a plain socket: what its owner is told, and what is left with the kernel."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asyncbatch._engine.io._socket_transport import IN_A_ROW, LITTLE, SocketTransport


class Watch:
    """Calls back when the test says so."""

    can_look = True

    def __init__(self) -> None:
        self.callbacks: dict[int, Callable[[], None]] = {}

    def add(self, fd: int, on_readable: Callable[[], None]) -> None:
        self.callbacks[fd] = on_readable

    def remove(self, fd: int) -> None:
        self.callbacks.pop(fd, None)

    pause = remove

    def look(self) -> None:
        for callback in list(self.callbacks.values()):
            callback()

    look_at_all = look


class Loop:
    """An event loop that remembers whose socket is to be writable."""

    def __init__(self) -> None:
        self.writers: dict[int, Callable[[], None]] = {}

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        callback(*args)

    def add_writer(self, fd: int, callback: Callable[[], None]) -> None:
        self.writers[fd] = callback

    def remove_writer(self, fd: int) -> None:
        self.writers.pop(fd, None)

    def write(self) -> None:
        for callback in list(self.writers.values()):
            callback()


class Owner:
    """A connection that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.error: Exception | None = None

    @property
    def content(self) -> bytes:
        return b"".join(piece for piece in self.told if isinstance(piece, bytes))

    def received(self, content: bytes | memoryview) -> None:
        if self.error is not None:
            raise self.error
        self.told.append(bytes(content))

    def eof_received(self) -> None:
        self.told.append("end")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(("lost", exc))

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")


class Failing:
    """A socket of which some calls fail."""

    def __init__(self, sock: socket.socket, **errors: Exception) -> None:
        self._sock = sock
        self.errors = errors

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any) -> Any:
            if name in self.errors:
                raise self.errors[name]
            return getattr(self._sock, name)(*args)

        return call


class Rig:
    """A transport on one end of a pair of sockets, and all that is around it."""

    def __init__(self, ours: Any, peer: socket.socket, room: int = 4 * LITTLE) -> None:
        self.watch, self.loop, self.owner, self.peer = Watch(), Loop(), Owner(), peer
        self.buffer = memoryview(bytearray(room))
        loop: Any = self.loop
        self.transport = SocketTransport(loop, self.watch, ours, self.buffer)
        self.transport.deliver_to(self.owner)

    def drain(self, count: int) -> bytes:
        """Let the peer read so much, as the transport sends it."""
        content = b""
        while len(content) < count:
            self.loop.write()
            content += self.peer.recv(1 << 20)
        return content


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Make connected sockets that hold little on the way."""
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    peer.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
    yield ours, peer
    ours.close()
    peer.close()


@pytest.fixture
def rig(pair: tuple[socket.socket, socket.socket]) -> Rig:
    return Rig(*pair)


def test_what_comes_is_told_and_its_end_closes(rig: Rig) -> None:
    """In the order in which it came, and each once."""
    rig.peer.send(b"hello")
    rig.watch.look()
    rig.watch.look()
    assert rig.owner.told == [b"hello"]
    rig.peer.close()
    rig.watch.look()

    assert rig.owner.told == [b"hello", "end", ("lost", None)]
    assert not rig.watch.callbacks


def test_a_long_body_is_received_into_the_buffer(rig: Rig) -> None:
    """Little comes as bytes at once; behind much of it the buffer is used until little comes."""
    sizes = [LITTLE, LITTLE + 1, *[100] * (IN_A_ROW - 1), LITTLE + 1, *[100] * IN_A_ROW, 5]
    rig.peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    pieces = []
    for size in sizes:
        rig.peer.send(bytes([size % 251]) * size)
        rig.buffer[:1] = b"\xff"
        rig.watch.look()
        pieces.append(rig.buffer[0] != 0xFF)

    # What is as long as can be received at once may have more behind it.
    assert pieces == [False, *[True] * (len(sizes) - 2), False]
    assert rig.owner.content == b"".join(bytes([size % 251]) * size for size in sizes)


def test_a_place_of_its_own_is_received_into(rig: Rig) -> None:
    """So that a long body is not copied."""
    place = memoryview(bytearray(10))
    rig.transport.receive_into(place)
    rig.peer.send(b"0123456789rest")
    rig.watch.look()

    assert bytes(place) == rig.owner.told[0] == b"0123456789"


def test_a_reader_that_pauses_leaves_the_rest_with_the_kernel(rig: Rig) -> None:
    """Until it resumes, but not on a transport that is closed."""
    rig.transport.pause_reading()
    rig.peer.send(b"later")
    rig.watch.look()
    assert rig.owner.told == []
    rig.transport.resume_reading()
    rig.watch.look()
    assert rig.owner.told == [b"later"]

    rig.transport.abort()
    rig.transport.resume_reading()
    assert not rig.watch.callbacks


def test_another_thread_receives_in_its_place(rig: Rig) -> None:
    """Until reading is resumed; what is left then comes as usual."""
    refill = rig.transport.refill(8)
    memory = memoryview(bytearray(5))
    rig.peer.send(b"0123456789")
    rig.watch.look()
    assert rig.owner.told == []
    received = [bytes(memory[: refill(memory)]) for _ in range(3)]
    refill.stop_receiving()
    rig.transport.resume_reading()
    rig.watch.look()

    assert received == [b"01234", b"567", b""]
    assert rig.owner.told == [b"89"]


def test_what_receives_in_its_place_has_no_socket_once_it_is_closed(rig: Rig) -> None:
    """The number of the descriptor may soon be another socket's."""
    refill = rig.transport.refill(100)
    rig.peer.send(b"0123456789")
    rig.transport.abort()

    assert refill(memoryview(bytearray(5))) == 0
    assert refill.error is None


def test_an_error_found_in_its_place_is_told_when_reading_is_resumed(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """The kernel reports it once only."""
    error = ConnectionResetError("reset")
    rig = Rig(Failing(pair[0], recv_into=error), pair[1])
    refill = rig.transport.refill(100)
    before = refill(memoryview(bytearray(5)))
    refill.stop_receiving()
    rig.transport.resume_reading()

    assert before == 0
    assert rig.owner.told == [("lost", error), ("lost", None)]
    assert not rig.watch.callbacks


def test_an_error_found_in_its_place_is_told_to_nobody_after_the_end(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """It is told in the next turn, before which the owner may close."""
    rig = Rig(Failing(pair[0], recv_into=ConnectionResetError("reset")), pair[1])
    later: list[Any] = []
    rig.loop.call_soon = lambda *call: later.append(call)  # type: ignore[method-assign]
    refill = rig.transport.refill(100)
    refill(memoryview(bytearray(5)))
    rig.transport.resume_reading()
    rig.transport.abort()
    ((callback, *arguments),) = later
    callback(*arguments)

    assert rig.owner.told == [("lost", None)]


def test_what_the_kernel_does_not_take_is_kept_and_sent_later(rig: Rig) -> None:
    """In order; the owner is held up until all of it has gone."""
    body = bytes(range(256)) * 4096
    rig.transport.write(body)
    rig.transport.write(bytearray(b"behind"))
    assert rig.owner.told == ["pause", "pause"]

    assert rig.drain(len(body) + 6) == body + b"behind"
    assert rig.owner.told == ["pause", "pause", "resume"]
    assert not rig.loop.writers
    rig.transport.write(b"x")
    assert rig.peer.recv(9) == b"x"


def test_what_is_kept_does_not_change_with_what_it_was_made_of(rig: Rig) -> None:
    """Bytes cannot change and are not copied; anything else can."""
    rig.transport.write(bytes(1 << 20))
    mutable = bytearray(b"before")
    rig.transport.write(mutable)
    mutable[:] = b"behind"

    assert rig.drain((1 << 20) + 6).endswith(b"before")


def test_a_write_that_fails_lets_the_answer_be_read(rig: Rig) -> None:
    """A server that refuses an upload answers and closes."""
    rig.peer.send(b"413")
    rig.peer.close()
    rig.transport.write(b"body")
    rig.transport.write(b"more")
    assert rig.owner.told == ["pause"]
    rig.watch.look()
    rig.watch.look()

    assert rig.owner.told[1:] == [b"413", "end", ("lost", None)]


def test_what_was_kept_is_dropped_when_the_peer_is_gone(rig: Rig) -> None:
    """Nothing waits for a socket that will never be writable."""
    rig.transport.write(bytes(1 << 20))
    rig.peer.close()
    rig.loop.write()

    assert not rig.loop.writers
    assert rig.owner.told == ["pause", "pause"]


@pytest.mark.parametrize("call", ["recv", "recv_into", "send"])
@pytest.mark.parametrize("error", [BlockingIOError(), InterruptedError()])
def test_a_call_that_has_to_wait_is_made_again(
    pair: tuple[socket.socket, socket.socket], call: str, error: Exception
) -> None:
    """Nothing is lost, and nobody is told."""
    ours = Failing(pair[0], **{call: error})
    rig = Rig(ours, pair[1])
    if call == "recv_into":
        rig.transport.receive_into(rig.buffer)
    rig.peer.send(b"in")
    rig.transport.write(b"out")
    rig.watch.look()
    rig.loop.write()
    ours.errors.clear()
    rig.watch.look()
    rig.loop.write()

    assert rig.owner.content == b"in"
    assert rig.peer.recv(9) == b"out"


@pytest.mark.parametrize("call", ["recv", "recv_into", "send"])
def test_want_of_memory_ends_one_connection(
    pair: tuple[socket.socket, socket.socket], call: str
) -> None:
    """It is told as that, once."""
    error = MemoryError()
    rig = Rig(Failing(pair[0], **{call: error}), pair[1])
    if call == "recv_into":
        rig.transport.receive_into(rig.buffer)
    if call == "send":
        rig.transport.write(b"x")
    else:
        rig.watch.look()

    assert rig.owner.told[0] == ("lost", error)
    assert not rig.watch.callbacks


def test_want_of_memory_for_what_was_kept_ends_the_connection_too(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """Later, when the socket is writable."""
    ours, error = Failing(pair[0]), MemoryError()
    rig = Rig(ours, pair[1])
    rig.transport.write(bytes(1 << 20))
    ours.errors["send"] = error
    rig.loop.write()

    assert ("lost", error) in rig.owner.told
    assert not rig.loop.writers


def test_an_owner_without_memory_for_what_came_loses_the_connection(rig: Rig) -> None:
    """And no other connection of the pool."""
    rig.owner.error = MemoryError()
    rig.peer.send(b"x")
    rig.watch.look()

    assert rig.owner.told[0] == ("lost", rig.owner.error)


def test_what_an_owner_that_has_closed_raises_is_not_about_the_connection(rig: Rig) -> None:
    """The error may have come while it handed an exchange on: only the pool can end that."""

    def received(_: object) -> None:
        rig.transport.abort()
        raise MemoryError

    rig.owner.received = received  # type: ignore[method-assign]
    rig.peer.send(b"x")
    with pytest.raises(MemoryError):
        rig.watch.look()


def test_a_watch_that_fails_leaves_no_socket_open(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is closed in any case."""

    def remove(_: int) -> None:
        raise MemoryError

    monkeypatch.setattr(rig.watch, "remove", remove)
    with pytest.raises(MemoryError):
        rig.transport.abort()

    assert rig.transport.get_extra_info("socket").fileno() == -1  # type: ignore[attr-defined]


def test_a_reset_is_told_with_its_error(pair: tuple[socket.socket, socket.socket]) -> None:
    """An end without one would be taken for the peer's."""
    error = ConnectionResetError()
    rig = Rig(Failing(pair[0], recv=error), pair[1])
    rig.watch.look()
    rig.watch.look()

    assert rig.owner.told == [("lost", error), ("lost", None)]


def test_closing_is_told_once(rig: Rig) -> None:
    """However often it is asked for."""
    rig.transport.abort()
    rig.transport.abort()

    assert rig.owner.told == [("lost", None)]


def test_closing_drops_what_was_not_sent(rig: Rig) -> None:
    """Neither socket nor loop knows of it any more."""
    rig.transport.write(bytes(1 << 20))
    (writable,) = rig.loop.writers.values()
    rig.transport.abort()
    rig.transport.write(b"more")
    writable()  # a call that was under way, as trio may make

    assert not rig.loop.writers
    assert not rig.watch.callbacks
    assert rig.transport.get_extra_info("peername") is None


def test_a_transport_answers_as_asyncios_do(rig: Rig) -> None:
    """What there is not is None."""
    assert rig.transport.get_extra_info("socket").fileno() >= 0  # type: ignore[attr-defined]
    assert rig.transport.get_extra_info("peername") == rig.peer.getsockname()
    assert rig.transport.get_extra_info("sockname") == rig.peer.getpeername()
    assert rig.transport.get_extra_info("ssl_object") is None
