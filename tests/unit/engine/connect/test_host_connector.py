"""From a host to a socket: names, address policies, several addresses."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from asyncbatch._engine import (
    AddressRefused,
    ConnectFailed,
    Connector,
    ExchangeLimits,
    Origin,
    ResolveFailed,
    TimedOut,
)
from asyncbatch._engine.connect._resolver import Address, Resolver
from tests import aio
from tests.engines import engine_for, get
from tests.raw_server import OK, answer_all, answers, serve
from tests.unit.engine.connect.connectors import connector_for, inet, named, unused_port
from tests.waiting import until


async def test_a_name_is_looked_up_and_its_time_told() -> None:
    """`dns` is known for a name, and None for an address."""
    connector = connector_for("127.0.0.1")
    async with serve(answers(OK)) as server, engine_for(connector=connector) as engine:
        exchange = await get(engine, named(server))

    assert exchange.dns is not None
    assert exchange.dns > 0
    assert exchange.connect is not None


async def test_a_name_without_address_is_a_failure_of_its_own() -> None:
    """As the system's resolver says it."""

    def look_up(host: str, port: int) -> list[Address]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    connector = Connector(ssl.create_default_context, resolver=Resolver(look_up))
    async with serve(answer_all) as server, engine_for(connector=connector) as engine:
        with pytest.raises(ResolveFailed, match=r"name\.example"):
            await get(engine, named(server))


@pytest.mark.parametrize("host", ["", "a\x00b", "x" * 300, "\udcff", "a..b"])
async def test_a_host_that_is_no_name_is_a_failure_too(host: str) -> None:
    """Whatever strangers put into a URL."""
    async with engine_for() as engine:
        with pytest.raises(ResolveFailed):
            await get(engine, Origin(is_tls=False, host=host, port=80))


@pytest.mark.parametrize("port", [0, -1, 65536, 99999, 2**70])
async def test_a_port_that_does_not_exist_is_a_failed_connect(port: int) -> None:
    """And not an OverflowError."""
    async with engine_for() as engine:
        with pytest.raises(ConnectFailed):
            await get(engine, Origin(is_tls=False, host="127.0.0.1", port=port))


async def test_a_refused_connection_is_a_failed_connect() -> None:
    """Nobody listens."""
    async with engine_for() as engine:
        with pytest.raises(ConnectFailed) as caught:
            await get(engine, Origin(is_tls=False, host="127.0.0.1", port=unused_port()))

    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


@pytest.fixture
def never_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a connect to this host take a turn, as one to another host does."""

    def begin(sock: socket.socket, address: tuple[Any, ...]) -> bool:
        sock.connect_ex(address)
        return False

    monkeypatch.setattr("asyncbatch._engine.connect._sockets.begin_connect", begin)


@pytest.mark.usefixtures("never_at_once")
@pytest.mark.parametrize("name", [True, False])
async def test_a_connect_that_takes_time_is_waited_for(name: bool) -> None:
    """And told as one, whether the server had a name or an address."""
    connector = connector_for("127.0.0.1")
    async with serve(answer_all) as server, engine_for(connector=connector) as engine:
        exchange = await get(engine, named(server) if name else server)

    assert bytes(exchange.content) == b"ok"
    assert exchange.connect is not None
    assert (exchange.dns is not None) is name


@pytest.mark.usefixtures("never_at_once")
async def test_a_connect_that_is_refused_after_a_while_is_a_failed_connect() -> None:
    """The error comes with the answer."""
    async with engine_for() as engine:
        with pytest.raises(ConnectFailed) as caught:
            await get(engine, Origin(is_tls=False, host="127.0.0.1", port=unused_port()))

    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """Listen where a connect is not answered: the queue is full, and nobody accepts."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(2):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


async def test_a_connect_that_is_not_answered_ends_with_its_limit() -> None:
    """The socket is closed, and the place is free."""
    with silent_port() as port:
        async with engine_for() as engine:
            origin = Origin(is_tls=False, host="127.0.0.1", port=port)
            with pytest.raises(TimedOut) as caught:
                await get(engine, origin, limits=ExchangeLimits(connect_timeout=0.02))

            assert caught.value.phase == "connect"
            assert engine.counts()["connecting"] == 0


@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_a_connect_that_is_not_answered_can_be_given_up(turns: int) -> None:
    """At any moment, also before its task has begun."""
    with silent_port() as port:
        async with engine_for() as engine:
            origin = Origin(is_tls=False, host="127.0.0.1", port=port)
            exchange = engine.begin(origin, b"GET", b"")
            for _ in range(turns):
                await aio.sleep(0)
            engine.abandon(exchange)
            await until(lambda: not engine.counts()["connecting"])


async def test_an_address_that_answers_is_found_among_those_that_do_not() -> None:
    """A refusal is followed by the next address at once."""
    connector = connector_for("127.0.0.2", "127.0.0.3", "127.0.0.1")
    async with serve(answers(OK)) as server, engine_for(connector=connector) as engine:
        exchange = await get(engine, named(server))

    assert bytes(exchange.content) == b"ok"


def hang_at(connector: Connector, *hosts: str) -> list[str]:
    """Have no answer come from some addresses; return the list of all that are tried."""
    original = connector._hosts._opener.connect
    tried: list[str] = []

    async def connect(address: Address) -> socket.socket:
        tried.append(address.sockaddr[0])
        if address.sockaddr[0] in hosts:
            await aio.Event().wait()
        return await original(address)

    connector._hosts._opener.connect = connect  # type: ignore[method-assign]
    return tried


async def test_an_address_that_hangs_loses_its_head_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next address joins the race, and the loser is closed."""
    monkeypatch.setattr("asyncbatch._engine.connect._happy_eyeballs.HEAD_START", 0.01)
    connector = connector_for("127.0.0.2", "127.0.0.1")
    original = connector._hosts._opener.connect
    cancelled: list[str] = []

    async def connect(address: Address) -> socket.socket:
        if address.sockaddr[0] == "127.0.0.2":
            try:
                await aio.Event().wait()
            except aio.CancelledError:
                cancelled.append(address.sockaddr[0])
                raise
        return await original(address)

    connector._hosts._opener.connect = connect  # type: ignore[method-assign]
    async with serve(answers(OK)) as server, engine_for(connector=connector) as engine:
        await get(engine, named(server))

    assert cancelled == ["127.0.0.2"]


async def test_a_dead_address_costs_its_head_start_once() -> None:
    """The next connection is opened to the one that has answered, before any other."""
    connector = connector_for("127.0.0.2", "127.0.0.1")
    tried = hang_at(connector, "127.0.0.2")
    async with serve(answers(OK)) as server, engine_for(connector=connector) as engine:
        for _ in range(2):
            await get(engine, named(server))

    assert tried == ["127.0.0.2", "127.0.0.1", "127.0.0.1"]


async def test_a_connect_that_timed_out_forgets_the_addresses_that_it_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one that was refused: the name is looked up again, and what was not tried comes first."""
    monkeypatch.setattr("asyncbatch._engine.connect._happy_eyeballs.MAX_SILENT", 3)
    monkeypatch.setattr("asyncbatch._engine.connect._happy_eyeballs.HEAD_START", 0.0)
    silent = [f"127.0.0.{number}" for number in range(2, 8)]
    connector = connector_for(*silent, "127.0.0.1")
    tried = hang_at(connector, *silent)
    async with serve(answers(OK)) as server, engine_for(connector=connector) as engine:
        limits = ExchangeLimits(connect_timeout=0.2)
        for _ in range(2):
            with pytest.raises(TimedOut):
                await get(engine, named(server), limits=limits)
        exchange = await get(engine, named(server), limits=limits)

    # Without a head start others join where the connect takes more than a turn of the loop.
    assert tried[:7] == [*silent, "127.0.0.1"]
    assert exchange.dns is not None


@pytest.mark.parametrize("known", [False, True], ids=["by look-up", "from the cache"])
async def test_a_lone_address_that_timed_out_is_forgotten(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name may have moved."""
    # A limit that ends before the thread of the look-up has answered is not the address's fault.
    limits = ExchangeLimits(connect_timeout=0.05 if known else 1.0)
    monkeypatch.setattr("asyncbatch._engine.connect._happy_eyeballs.HEAD_START", 0.0)
    monkeypatch.setattr("asyncbatch._engine.connect._host_connector.HEAD_START", 0.0)
    connector = connector_for("127.0.0.1")
    with silent_port() as port:
        async with engine_for(connector=connector) as engine:
            origin = Origin(is_tls=False, host="name.example", port=port)
            if known:
                await connector._hosts.resolver.resolve("name.example", port)
            with pytest.raises(TimedOut):
                await get(engine, origin, limits=limits)

            assert connector._hosts.resolver.known("name.example", port) is None


async def test_when_no_address_answers_all_are_named() -> None:
    """The first error, with the others as notes."""
    connector = connector_for("127.0.0.1", "127.0.0.2")
    origin = Origin(is_tls=False, host="name.example", port=unused_port())
    async with engine_for(connector=connector) as engine:
        with pytest.raises(ConnectFailed) as caught:
            await get(engine, origin)

    cause = caught.value.__cause__
    assert cause is not None
    assert len(cause.__notes__) == 1


async def test_only_allowed_addresses_are_connected_to() -> None:
    """The checked address is the one connected to; the policy sees each of them."""
    seen: list[str] = []

    def policy(address: object) -> bool:
        seen.append(str(address))
        return address == ip_address("127.0.0.1")

    connector = connector_for("127.0.0.9", "127.0.0.1", policy=policy)
    async with serve(answer_all) as server, engine_for(connector=connector) as engine:
        exchange = await get(engine, named(server))
        assert exchange.connection is not None
        assert exchange.connection.get_extra_info("peername") == ("127.0.0.1", server.port)

    assert seen == ["127.0.0.9", "127.0.0.1"]


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0x7f.1", "017700000001", "127.1", "name.example", "localhost"],
)
async def test_no_spelling_gets_around_the_policy(host: str) -> None:
    """What counts is the address behind it, in whatever way the URL says it."""
    connector = connector_for("127.0.0.1", policy="public")
    async with serve(answer_all) as server, engine_for(connector=connector) as engine:
        with pytest.raises(AddressRefused):
            await get(engine, named(server, host))

        assert server.connections == 0


async def test_a_name_is_not_resolved_again_between_check_and_connect() -> None:
    """A name that changes its mind in between has no effect."""
    answers_of_name = iter(["127.0.0.1", "127.0.0.9"])

    def look_up(host: str, port: int) -> list[Address]:
        return [inet(next(answers_of_name), port)]

    connector = Connector(
        ssl.create_default_context,
        resolver=Resolver(look_up),
        policy=lambda address: str(address) == "127.0.0.1",
    )
    async with serve(answers(OK)) as server, engine_for(connector=connector) as engine:
        exchange = await get(engine, named(server))

    assert bytes(exchange.content) == b"ok"
