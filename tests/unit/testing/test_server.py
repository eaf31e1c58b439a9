"""
The life of a loopback server, and what it records.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading

import anyio
import httpx
import pytest

from asyncbatch.testing import (
    LoopbackServer,
    Reply,
)
from tests.unit.testing.raw_client import RawClient

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def test_requests_are_recorded(server: LoopbackServer, client: RawClient) -> None:
    """A recorded request says what came, when, and on which connection."""
    before = anyio.current_time()
    await client.send(b"POST /a?b HTTP/1.1\r\nA: b\r\nContent-Length: 4\r\n\r\nbody")
    await client.receive_until(b"ok")
    await client.get("/second")
    await client.receive_until(b"ok")
    async with RawClient.connect(server) as other:
        await other.get("/third")
        await other.receive_until(b"ok")

    first, second, third = server.requests
    assert (first.method, first.target, first.body) == ("POST", "/a?b", b"body")
    assert first.headers["a"] == "b"
    assert before <= first.time <= second.time <= anyio.current_time()
    assert first.connection == second.connection != third.connection


async def test_the_record_is_bounded() -> None:
    """Old requests make room for new ones; the figures count them all."""
    async with LoopbackServer(record=2) as server, RawClient.connect(server) as client:
        for path in ("/1", "/2", "/3"):
            await client.get(path)
            await client.receive_until(b"ok")

        assert [request.path for request in server.requests] == ["/2", "/3"]
        assert server.statistics().requests == 3


async def test_several_may_wait_for_figures(server: LoopbackServer, client: RawClient) -> None:
    """Each for its own."""
    seen: list[int] = []

    async def wait(count: int) -> None:
        await server.wait_until(lambda figures: figures.requests >= count)
        seen.append(count)

    async with anyio.create_task_group() as group:
        for count in (2, 1):
            group.start_soon(wait, count)
        await anyio.lowlevel.checkpoint()
        for _ in range(2):
            await client.get()
            await client.receive_until(b"ok")

    assert seen == [1, 2]


async def test_figures_know_the_present_and_the_peak() -> None:
    """Requests and connections are counted as of now and at their most, in all and by host."""
    async with LoopbackServer(hosts=2) as server, contextlib.AsyncExitStack() as stack:
        server.on("/hang", Reply().hang())
        clients = [
            await stack.enter_async_context(RawClient.connect(server, host)) for host in (1, 1, 2)
        ]
        for client in clients:
            await client.get("/hang")
        await server.wait_until(lambda seen: seen.active == 3)
        clients[0].socket.close()
        await server.wait_until(lambda seen: seen.open_connections == 2)

        seen, first = server.statistics(), server.statistics(1)
        assert (seen.requests, seen.active, seen.peak_active) == (3, 2, 3)
        assert (seen.connections, seen.open_connections, seen.peak_connections) == (3, 2, 3)
        assert (first.requests, first.active, first.peak_active) == (2, 1, 2)
        assert (first.connections, first.open_connections, first.peak_connections) == (2, 1, 2)


@pytest.mark.parametrize(("reset", "ending"), [(False, "FIN"), (True, "RST")])
@pytest.mark.parametrize("path", ["/", "/hang"])
async def test_connections_can_be_dropped(
    server: LoopbackServer, client: RawClient, reset: bool, ending: str, path: str
) -> None:
    """Idle and busy connections end on command, and new ones are served."""
    server.on("/hang", Reply().hang(head=0))
    await client.get(path)
    await server.wait_until(lambda seen: seen.requests == 1)
    server.drop_connections(reset=reset)
    _, how = await client.receive_all()
    await server.wait_until(lambda seen: seen.open_connections == 0)

    assert how == ending
    async with RawClient.connect(server) as other:
        await other.get()
        assert await other.receive_until(b"ok") == OK


async def test_the_connections_of_one_host_can_be_dropped() -> None:
    """The other hosts' connections stay."""
    async with (
        LoopbackServer(hosts=2) as server,
        RawClient.connect(server, 1) as one,
        RawClient.connect(server, 2) as two,
    ):
        await server.wait_until(lambda seen: seen.connections == 2)
        server.drop_connections(1)

        assert await one.receive_all() == (b"", "FIN")
        await two.get()
        assert await two.receive_until(b"ok") == OK


async def test_closing_ends_connections_in_every_state() -> None:
    """Hanging, slow, stuck and idle connections all end with the server, at once and silently."""
    async with contextlib.AsyncExitStack() as stack:
        async with LoopbackServer() as server:
            server.on("/hang", Reply().hang(body=0))
            server.on("/late", Reply().delayed(3600))
            server.on("/slow", Reply(body=100).paced(1, every=3600))
            server.on("/stuck", Reply(body=50_000_000))
            clients = []
            for path in ("/hang", "/late", "/slow", "/stuck", "/idle"):
                client = await stack.enter_async_context(RawClient.connect(server))
                clients.append(client)
                await client.get(path)
            await server.wait_until(lambda seen: seen.requests == 5 and seen.active == 4)

        assert server.statistics().open_connections == 0
        assert server.statistics().active == 0
        for client in clients:
            await client.receive_all()


async def test_closing_under_load_is_silent() -> None:
    """Clients that go on while the server closes see errors; the server's side sees none."""
    async with anyio.create_task_group() as group:
        async with LoopbackServer(hosts=5) as server:

            async def load(host: int) -> None:
                async with httpx.AsyncClient() as client:
                    with contextlib.suppress(httpx.TransportError):
                        while True:
                            await client.get(server.url(host=host))

            for number in range(20):
                group.start_soon(load, number % 5 + 1)
            await server.wait_until(lambda seen: seen.requests >= 100)

        assert server.statistics().open_connections == 0


async def test_a_process_without_descriptors_accepts_later(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An accept that fails is tried again, and no connection is lost."""
    accept, failures = socket.socket.accept, [errno.EMFILE, errno.ECONNABORTED]

    def failing(listener: socket.socket) -> object:
        if failures:
            raise OSError(failures.pop(), "no descriptor")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", failing)
    async with RawClient.connect(server) as client:
        await client.get()

        assert await client.receive_until(b"ok") == OK
    assert failures == []


async def test_an_error_of_the_caller_is_raised_as_it_is() -> None:
    """The server wraps nothing that is raised within its `with`."""
    with pytest.raises(LookupError, match="mine"):
        async with LoopbackServer():
            raise LookupError("mine")


async def test_a_server_can_be_cancelled() -> None:
    """A cancelled `with` closes the server and lets the cancellation through."""
    with anyio.CancelScope() as scope:
        async with LoopbackServer() as server, RawClient.connect(server) as client:
            await server.wait_until(lambda seen: seen.connections == 1)
            scope.cancel()
            await client.receive()

    assert scope.cancelled_caught
    assert server.statistics().open_connections == 0


async def test_a_server_starts_once() -> None:
    """A second `with` is refused: ports, records and figures are one run's."""
    server = LoopbackServer()
    async with server:
        pass
    with pytest.raises(RuntimeError, match="started once"):
        async with server:
            pass


def test_a_server_has_no_url_before_it_starts() -> None:
    """The port is not known yet, and the error says what to do."""
    with pytest.raises(RuntimeError, match="has not started"):
        LoopbackServer().url()


async def test_a_server_can_come_back_on_its_port() -> None:
    """A second server takes over the port of a closed one, with old connections about."""
    async with LoopbackServer() as server, RawClient.connect(server) as client:
        # Closed by the server first, so that the system remembers its end for a while.
        await server.wait_until(lambda seen: seen.connections == 1)
        server.drop_connections()
        await client.receive_all()
        port = server.port
    async with LoopbackServer(port=port) as server, RawClient.connect(server) as client:
        await client.get()

        assert server.port == port
        assert await client.receive_until(b"ok") == OK


async def test_a_taken_port_is_an_error(server: LoopbackServer) -> None:
    """The port asked for, or none: no other one is picked."""
    with pytest.raises(OSError, match=r"port|in use"):
        async with LoopbackServer(port=server.port):
            pass


def test_a_server_runs_in_a_thread() -> None:
    """Plain code gets a server for the length of a `with`, and no thread stays behind."""
    before = set(threading.enumerate())
    with LoopbackServer(hosts=2).in_thread() as server, httpx.Client() as client:
        server.on("/", Reply(body=b"two"), host=2)
        assert client.get(server.url(host=2)).text == "two"
        assert len(server.requests) == 1
        server.drop_connections(reset=True)
        with pytest.raises(RuntimeError, match="not across threads"):
            anyio.run(server.wait_until, bool)
        server.on("/hang", Reply().hang())
        with pytest.raises(httpx.ReadTimeout):
            client.get(server.url("/hang"), timeout=0.05)

    assert not set(threading.enumerate()) - before
