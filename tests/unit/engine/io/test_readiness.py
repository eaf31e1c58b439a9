"""Sockets that are watched together, and what happens to some must not touch the others."""

from __future__ import annotations

import asyncio
import errno
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from asyncbatch._engine import ConnectFailed
from asyncbatch._engine._event_loop import EventLoop, running_loop
from asyncbatch._engine.io import _readiness
from asyncbatch._engine.io._readiness import (
    MAX_EVENTS,
    EpollWatch,
    LoopWatch,
    Watch,
    poll_of,
    watch_on,
)
from tests import aio
from tests.engines import engine_for, get
from tests.raw_server import OK, answers, serve

DESCRIPTORS = Path("/proc/self/fd")
needs_epoll = pytest.mark.skipif(
    # As the library finds it: see tests/machines.py.
    not hasattr(_readiness.select, "epoll"),
    reason="there is no epoll",
)
KINDS = [pytest.param(EpollWatch, marks=needs_epoll), LoopWatch]
Pair = tuple[socket.socket, socket.socket]


@contextmanager
def pairs(count: int) -> Iterator[list[Pair]]:
    """Make pairs of connected sockets."""
    made = [socket.socketpair() for _ in range(count)]
    for sock, _ in made:
        sock.setblocking(False)
    try:
        yield made
    finally:
        for pair in made:
            for sock in pair:
                sock.close()


async def turns(count: int = 3) -> None:
    """Let the event loop look at its sockets."""
    for _ in range(count):
        await aio.sleep(0.001)


@pytest.mark.parametrize("kind", KINDS)
async def test_who_has_something_to_read_is_called(
    kind: Callable[[EventLoop], Watch],
) -> None:
    """As long as it has; and no more once it is removed."""
    watch = kind(running_loop())
    called: list[str] = []
    with pairs(2) as ((one, its_peer), (other, _)):
        watch.add(one.fileno(), lambda: called.append("one"))
        watch.add(other.fileno(), lambda: called.append("other"))
        its_peer.send(b"x")
        await turns()
        assert len(called) > 1
        watch.remove(one.fileno())
        before = len(called)
        await turns()
        watch.remove(other.fileno())

    assert set(called) == {"one"}
    assert len(called) == before


@needs_epoll
async def test_one_that_raises_does_not_stop_the_others() -> None:
    """The event loop is told of it."""
    loop = running_loop()
    watch = EpollWatch(loop)
    read: list[bytes] = []
    told = aio.reports_of(loop)

    with pairs(3) as three:
        for number, (sock, peer) in enumerate(three):

            def receive(number: int = number, sock: socket.socket = sock) -> None:
                content = sock.recv(9)
                if number == 1:
                    raise RuntimeError("broken")
                read.append(content)

            watch.add(sock.fileno(), receive)
            peer.send(b"%d" % number)
        await turns()
        for sock, _ in three:
            watch.remove(sock.fileno())
    aio.report_again(loop)

    assert sorted(read) == [b"0", b"2"]
    assert [str(error) for error in told] == ["broken"]


@needs_epoll
async def test_what_one_removes_is_not_called_any_more() -> None:
    """Not even if it was ready in the same look."""
    watch = EpollWatch(running_loop())
    called: list[int] = []

    with pairs(2) as two:
        for number, (sock, peer) in enumerate(two):

            def close_all(number: int = number) -> None:
                called.append(number)
                for sock, _ in two:
                    watch.remove(sock.fileno())

            watch.add(sock.fileno(), close_all)
            peer.send(b"x")
        watch.look()
        watch.look()

    assert len(called) == 1


@needs_epoll
async def test_more_than_fit_into_one_look_are_all_served() -> None:
    """In several turns of the event loop."""
    watch = EpollWatch(running_loop())
    count = MAX_EVENTS + 20
    read: set[int] = set()

    with pairs(count) as many:
        for number, (sock, peer) in enumerate(many):

            def receive(number: int = number, sock: socket.socket = sock) -> None:
                sock.recv(9)
                read.add(number)

            watch.add(sock.fileno(), receive)
            peer.send(b"x")
        await turns(5)
        for sock, _ in many:
            watch.remove(sock.fileno())

    assert read == set(range(count))


@pytest.mark.skipif(not DESCRIPTORS.exists(), reason="descriptors cannot be counted")
async def test_nothing_stays_open_when_nothing_is_watched() -> None:
    """The epoll is closed with its last socket, and another one is made for the next."""
    watch = watch_on(running_loop())

    def descriptors() -> int:
        return len(list(DESCRIPTORS.iterdir()))

    with pairs(1) as ((sock, _),):
        before = descriptors()
        for _ in range(3):
            watch.add(sock.fileno(), lambda: None)
            watch.remove(sock.fileno())
            watch.remove(sock.fileno())

        assert descriptors() == before


@pytest.mark.parametrize("kind", KINDS)
async def test_a_socket_can_be_left_alone_for_a_while(
    kind: Callable[[EventLoop], Watch],
) -> None:
    """It is called again once it is added."""
    watch = kind(running_loop())
    called: list[int] = []
    with pairs(1) as ((sock, peer),):
        peer.send(b"x")
        watch.add(sock.fileno(), lambda: called.append(len(sock.recv(9))))
        watch.pause(sock.fileno())
        await turns()
        paused = list(called)
        watch.add(sock.fileno(), lambda: called.append(len(sock.recv(9))))
        await turns()
        watch.remove(sock.fileno())

    assert (paused, called) == ([], [1])


@needs_epoll
async def test_a_socket_that_is_left_alone_keeps_the_epoll_open() -> None:
    """Making another epoll takes longer; it is closed when the last socket is removed."""
    watch = EpollWatch(running_loop())
    with pairs(2) as ((one, _), (other, _)):
        watch.add(one.fileno(), lambda: None)
        watch.pause(one.fileno())
        watch.pause(one.fileno())
        epoll = watch._epoll
        assert epoll is not None
        watch.add(one.fileno(), lambda: None)
        watch.add(other.fileno(), lambda: None)
        assert watch._epoll is epoll
        watch.pause(other.fileno())
        watch.remove(one.fileno())
        assert watch._epoll is epoll
        watch.remove(other.fileno())

    assert watch._epoll is None


@needs_epoll
@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
def test_an_exit_that_one_asks_for_ends_the_loop(end: type[BaseException]) -> None:
    """The others are told nothing of it."""

    async def main() -> None:
        watch = EpollWatch(running_loop())

        def leave() -> None:
            raise end

        with pairs(1) as ((sock, peer),):
            watch.add(sock.fileno(), leave)
            peer.send(b"x")
            try:
                await asyncio.sleep(30)
            finally:
                watch.remove(sock.fileno())

    with pytest.raises(end):
        asyncio.run(main())


@needs_epoll
async def test_a_pool_without_a_descriptor_for_its_epoll_fails_one_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing of it stays behind, and the next one succeeds."""
    make, failures = select.epoll, [OSError(errno.EMFILE, "Too many open files")]

    def epoll() -> select.epoll:
        if failures:
            raise failures.pop()
        return make()

    async with serve(answers(OK, OK)) as server, engine_for() as engine:
        with monkeypatch.context() as patch:
            patch.setattr(select, "epoll", epoll)
            with pytest.raises(ConnectFailed, match="Too many open files"):
                await get(engine, server)
        assert not any(engine.counts().values())
        assert (await get(engine, server)).content == b"ok"


@needs_epoll
async def test_a_socket_that_cannot_be_watched_leaves_no_epoll_behind() -> None:
    """Were it kept, it would stay open with nothing in it."""
    watch = EpollWatch(running_loop())
    with pytest.raises(OSError, match="Bad file descriptor"):
        watch.add(1_000_000, lambda: None)

    assert watch._epoll is None


@needs_epoll
async def test_before_requests_go_out_all_that_has_come_is_read() -> None:
    """Also by more sockets than are served in one turn of the event loop."""
    watch = EpollWatch(running_loop())
    seen: list[int] = []
    with pairs(2 * MAX_EVENTS + 1) as made:
        for sock, peer in made:
            watch.add(sock.fileno(), lambda sock=sock: seen.append(len(sock.recv(9))))
            peer.send(b"x")

        watch.look_at_all()

        for sock, _ in made:
            watch.remove(sock.fileno())
    assert len(seen) == 2 * MAX_EVENTS + 1


@pytest.mark.parametrize("has_poll", [True, False])
async def test_one_socket_can_be_asked_whether_it_has_something_to_read(
    has_poll: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `select` where there is no `poll`: an answer that is not asked for must be seen."""
    if not has_poll:
        monkeypatch.setattr(_readiness, "select", SimpleNamespace(select=select.select))
    with pairs(1) as ((sock, peer),):
        poll = poll_of(sock)
        before = len(poll(0))
        peer.send(b"x")

        assert (before, len(poll(0))) == (0, 1)
