"""From an origin to a socket: names, address policies, several addresses, local options."""

from __future__ import annotations

import contextlib
import resource
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
    ProxyFailed,
    ResolveFailed,
    TimedOut,
    as_policy,
)
from asyncbatch._engine.connect._resolver import Address, Resolver
from asyncbatch._values._proxy import proxy_of
from tests import aio
from tests.engines import engine_for, get
from tests.proxies import ProxyServer
from tests.raw_server import OK, Server, answer_all, answers, serve
from tests.waiting import until


def inet(host: str, port: int) -> Address:
    return Address(socket.AF_INET, (host, port))


def named(server: Server, name: str = "name.example") -> Origin:
    return server.origin._replace(host=name)


def connector_for(*hosts: str, policy: object = None, **options: object) -> Connector:
    """A connector whose names are all at these addresses."""

    def look_up(host: str, port: int) -> list[Address]:
        return [inet(each, port) for each in hosts]

    return Connector(
        ssl.create_default_context,
        resolver=Resolver(look_up),
        policy=as_policy(policy),  # type: ignore[arg-type]
        **options,  # type: ignore[arg-type]
    )


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


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


async def test_thousands_refused_at_once_are_failed_connects() -> None:
    """Each of them, one after the other in the one place that there is."""
    origin = Origin(is_tls=False, host="127.0.0.1", port=unused_port())
    async with engine_for(max_connections=1) as engine:
        exchanges = [get(engine, origin) for _ in range(3000)]
        results = await aio.gather(*exchanges, return_exceptions=True)

        assert engine.counts()["connecting"] == 0
    assert {type(result) for result in results} == {ConnectFailed}


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
    original = connector._opener.connect
    tried: list[str] = []

    async def connect(address: Address) -> socket.socket:
        tried.append(address.sockaddr[0])
        if address.sockaddr[0] in hosts:
            await aio.Event().wait()
        return await original(address)

    connector._opener.connect = connect  # type: ignore[method-assign]
    return tried


async def test_an_address_that_hangs_loses_its_head_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next address joins the race, and the loser is closed."""
    monkeypatch.setattr("asyncbatch._engine.connect._happy_eyeballs.HEAD_START", 0.01)
    connector = connector_for("127.0.0.2", "127.0.0.1")
    original = connector._opener.connect
    cancelled: list[str] = []

    async def connect(address: Address) -> socket.socket:
        if address.sockaddr[0] == "127.0.0.2":
            try:
                await aio.Event().wait()
            except aio.CancelledError:
                cancelled.append(address.sockaddr[0])
                raise
        return await original(address)

    connector._opener.connect = connect  # type: ignore[method-assign]
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
    monkeypatch.setattr("asyncbatch._engine.connect._connector.HEAD_START", 0.0)
    connector = connector_for("127.0.0.1")
    with silent_port() as port:
        async with engine_for(connector=connector) as engine:
            origin = Origin(is_tls=False, host="name.example", port=port)
            if known:
                await connector.resolver.resolve("name.example", port)
            with pytest.raises(TimedOut):
                await get(engine, origin, limits=limits)

            assert connector.resolver.known("name.example", port) is None


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


async def test_a_proxy_is_asked_only_for_the_addresses_that_the_policy_allows() -> None:
    """Of several of a name; its own address is not asked about."""
    asked: list[str] = []

    def policy(address: object) -> bool:
        asked.append(str(address))
        return str(address) == "127.0.0.2"

    connector = connector_for("127.0.0.3", "127.0.0.2", policy=policy)
    with ProxyServer() as proxy:
        async with serve(answers(OK)) as server, engine_for(connector=connector) as engine:
            way = proxy_of(proxy.url("socks5"))
            with pytest.raises(ProxyFailed):  # the server listens on 127.0.0.1
                await get(engine, named(server)._replace(route=way))

    assert proxy.targets == [("127.0.0.2", server.port)]
    assert asked == ["127.0.0.3", "127.0.0.2"]


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


async def test_a_failed_connect_is_tried_again_as_often_as_asked() -> None:
    """`retries`, as httpx has it: at once the first time."""
    asked = 0

    def look_up(host: str, port: int) -> list[Address]:
        nonlocal asked
        asked += 1
        return [inet("127.0.0.1", ports.pop(0))]

    async with serve(answers(OK)) as server:
        ports = [unused_port(), server.port]
        connector = Connector(ssl.create_default_context, resolver=Resolver(look_up), retries=1)
        async with engine_for(connector=connector) as engine:
            exchange = await get(engine, named(server))

    assert asked == 2
    assert bytes(exchange.content) == b"ok"


async def test_local_address_and_socket_options_are_honoured() -> None:
    """Set before the connect."""
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    connector = Connector(
        ssl.create_default_context, local_address="127.0.0.5", socket_options=options
    )
    async with serve(answer_all) as server, engine_for(connector=connector) as engine:
        exchange = await get(engine, server)
        connection = exchange.connection
        assert connection is not None
        assert connection.get_extra_info("sockname")[0] == "127.0.0.5"  # type: ignore[index]


async def test_a_unix_domain_socket_serves_every_origin(socket_path: str) -> None:
    """No name is looked up, whatever the URL says."""

    async def answer(reader: aio.StreamReader, writer: aio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.read()
        writer.close()

    listener = await aio.start_unix_server(answer, socket_path)
    connector = Connector(ssl.create_default_context, uds=socket_path)
    async with engine_for(connector=connector) as engine:
        exchange = await get(engine, Origin(is_tls=False, host="any.example", port=80))
        assert bytes(exchange.content) == b"ok"
    listener.close()
    await aio.sleep(0.01)


async def test_a_missing_unix_domain_socket_is_a_failed_connect(socket_path: str) -> None:
    """The same kind as a refused port."""
    connector = Connector(ssl.create_default_context, uds=socket_path)
    async with engine_for(connector=connector) as engine:
        with pytest.raises(ConnectFailed):
            await get(engine, Origin(is_tls=False, host="any.example", port=80))


async def test_no_descriptor_left_is_a_failed_connect_and_passes() -> None:
    """An error for the one exchange; when descriptors are free again, all is as before."""
    async with serve(answer_all) as server, engine_for() as engine:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        "".encode("idna")  # which the first look-up of a process loads from a file
        taken = [socket.socket()]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0].fileno() + 10, limits[1]))
            with contextlib.suppress(OSError):
                while True:
                    taken.append(socket.socket())
            with pytest.raises(ConnectFailed) as caught:
                await get(engine, server)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for sock in taken:
                sock.close()

        assert isinstance(caught.value.__cause__, OSError)
        assert bytes((await get(engine, server)).content) == b"ok"
