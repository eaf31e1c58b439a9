"""From an origin to a transport: proxies, retries, local options, Unix domain sockets."""

from __future__ import annotations

import contextlib
import resource
import socket
import ssl

import pytest

from asyncbatch._engine import (
    ConnectFailed,
    Connector,
    Origin,
    ProxyFailed,
)
from asyncbatch._engine._errors import ContextFailed
from asyncbatch._engine._event_loop import running_loop
from asyncbatch._engine.connect._resolver import Address, Resolver
from asyncbatch._engine.http11 import InvalidRequest
from asyncbatch._values._proxy import proxy_of
from tests import aio
from tests.engines import engine_for, get
from tests.proxies import ProxyServer
from tests.raw_server import OK, answer_all, answers, serve
from tests.unit.engine.connect.connectors import connector_for, inet, named, unused_port


async def test_thousands_refused_at_once_are_failed_connects() -> None:
    """Each of them, one after the other in the one place that there is."""
    origin = Origin(is_tls=False, host="127.0.0.1", port=unused_port())
    async with engine_for(max_connections=1) as engine:
        exchanges = [get(engine, origin) for _ in range(3000)]
        results = await aio.gather(*exchanges, return_exceptions=True)

        assert engine.counts()["connecting"] == 0
    assert {type(result) for result in results} == {ConnectFailed}


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


async def test_a_proxy_is_asked_for_the_next_address_if_it_cannot_reach_one() -> None:
    """Over a new connection."""
    connector = connector_for("127.0.0.3", "127.0.0.1")
    with ProxyServer() as proxy:
        async with serve(answers(OK)) as server, engine_for(connector=connector) as engine:
            way = proxy_of(proxy.url("socks5"))
            exchange = await get(engine, named(server)._replace(route=way))

    assert bytes(exchange.content) == b"ok"
    assert [host for host, _ in proxy.targets] == ["127.0.0.3", "127.0.0.1"]
    assert proxy.accepted == 2


@pytest.mark.parametrize(("proxy_tls", "origin_tls"), [(True, False), (False, True)])
async def test_without_a_tls_context_no_proxy_is_blamed(proxy_tls: bool, origin_tls: bool) -> None:
    """The trusted roots are this machine's, for the proxy as for the origin behind it."""

    def make() -> ssl.SSLContext:
        raise ValueError("no roots")

    connector = Connector(make, resolver=Resolver(lambda _, port: [inet("127.0.0.1", port)]))
    with ProxyServer() as proxy:
        scheme = "https" if proxy_tls else "http"
        way = proxy_of(f"{scheme}://proxy.example:{proxy.port}")
        origin = Origin(is_tls=origin_tls, host="name.example", port=80, route=way)
        async with engine_for(connector=connector) as engine:
            with pytest.raises(ContextFailed, match="no roots"):
                await get(engine, origin)

    assert not proxy.heads


async def test_a_proxy_that_would_connect_unchecked_is_not_asked() -> None:
    """A policy decides about addresses, and this proxy resolves names itself."""
    connector = connector_for("127.0.0.1", policy=lambda _: True)
    with ProxyServer() as proxy:
        way = proxy_of(proxy.url())
        async with engine_for(connector=connector) as engine:
            with pytest.raises(InvalidRequest, match="cannot be checked behind the proxy"):
                await get(engine, Origin(is_tls=False, host="name.example", port=80, route=way))

    assert not proxy.accepted


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


async def test_a_proxy_is_not_asked_through_a_unix_domain_socket(socket_path: str) -> None:
    """The socket is the server's, and the two options exclude each other."""
    connector = Connector(ssl.create_default_context, uds=socket_path)
    origin = Origin(is_tls=False, host="a.test", port=80, route=proxy_of("http://127.0.0.1:9"))
    async with engine_for(connector=connector) as engine:
        with pytest.raises(ProxyFailed, match="cannot be reached by a Unix domain socket"):
            await get(engine, origin)


async def test_no_descriptor_left_is_a_failed_connect_and_passes() -> None:
    """An error for the one exchange; when descriptors are free again, all is as before."""
    async with serve(answer_all) as server, engine_for() as engine:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        # The first look-up of a process and its first request on trio load these from files.
        "".encode("idna")
        running_loop()
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
