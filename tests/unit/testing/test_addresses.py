"""
The hosts of the loopback server: living, dead and silent.
"""

from __future__ import annotations

import errno
import os
import socket
from types import SimpleNamespace

import httpx
import pytest

from asyncbatch.testing import LoopbackServer, Reply, _addresses
from asyncbatch.testing._addresses import MAX_HOSTS, Addresses
from tests.unit.testing.raw_client import RawClient

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def test_hosts_share_a_port_and_are_told_apart() -> None:
    """Each host has its own address, script, record and figures."""
    async with LoopbackServer(hosts=3) as server, httpx.AsyncClient() as client:
        server.on("/", Reply(body=b"two"), host=2)
        bodies = [(await client.get(server.url(host=host))).text for host in (1, 2, 3, 3)]

        assert bodies == ["ok", "two", "ok", "ok"]
        assert server.url("/x", host=3) == f"http://127.0.0.3:{server.port}/x"
        assert [request.host for request in server.requests] == [1, 2, 3, 3]
        assert [server.statistics(host).requests for host in (1, 2, 3)] == [1, 1, 2]


async def test_a_dead_host_refuses_connections(server: LoopbackServer) -> None:
    """On a dead host nobody listens, today and for as long as the server runs."""
    async with httpx.AsyncClient() as client:
        for host in (1, 1, 2):
            with pytest.raises(httpx.ConnectError):
                await client.get(server.dead_url(host=host))

    assert server.dead_url("/x", host=2) == f"http://127.0.0.3:{server.port}/x"


async def test_a_silent_host_never_connects(server: LoopbackServer) -> None:
    """A client of a silent host runs into its connect time-out."""
    async with httpx.AsyncClient(timeout=httpx.Timeout(5, connect=0.05)) as client:
        for _ in range(2):
            with pytest.raises(httpx.ConnectTimeout):
                await client.get(server.silent_url())


@pytest.mark.parametrize("host", [0, 2])
async def test_a_host_that_is_not_there_has_no_url(server: LoopbackServer, host: int) -> None:
    """A wrong number is an error that names the right ones."""
    with pytest.raises(ValueError, match=f"host must be from 1 to 1, not {host}"):
        server.url(host=host)


@pytest.mark.parametrize("host", [0, MAX_HOSTS + 1])
async def test_hosts_that_do_not_answer_are_numbered_as_others(
    server: LoopbackServer, host: int
) -> None:
    """A wrong number is an error there too."""
    for url in (server.dead_url, server.silent_url):
        with pytest.raises(ValueError, match=f"host must be from 1 to {MAX_HOSTS}, not {host}"):
            url(host=host)


def test_an_address_that_the_machine_lacks_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another port would not help; nothing stays open."""
    calls: list[int] = []

    def bind(self: socket.socket, address: object) -> None:
        calls.append(self.fileno())
        raise OSError(errno.EADDRNOTAVAIL, "no such address")

    monkeypatch.setattr(_addresses.socket.socket, "bind", bind)
    addresses = Addresses(2, 0)

    with pytest.raises(OSError, match="no such address"):
        addresses.listen()
    assert len(calls) == 1
    assert not addresses._sockets


@pytest.mark.skipif(os.name == "nt", reason="the ports of Windows are not reused")
@pytest.mark.parametrize(("system", "reuses"), [("posix", True), ("nt", False)])
def test_a_port_is_reused_except_on_windows(
    monkeypatch: pytest.MonkeyPatch, system: str, reuses: bool
) -> None:
    """Windows would let two servers listen on it at once."""
    monkeypatch.setattr(_addresses, "os", SimpleNamespace(name=system))
    addresses = Addresses(1, 0)
    (listener,) = addresses.listen()
    option = listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    addresses.close()

    assert bool(option) is reuses


async def test_a_route_for_a_host_that_is_not_there_is_refused(server: LoopbackServer) -> None:
    """A script that could never apply is an error where it is written."""
    with pytest.raises(ValueError, match="host must be from 1 to 1, not 2"):
        server.on("/", Reply(), host=2)


async def test_a_method_is_named_in_any_case(server: LoopbackServer, client: RawClient) -> None:
    """Methods are in upper case on the wire, whatever the script says."""
    server.on("/", Reply(body=b"put"), method="put")
    await client.get("/", method="PUT")

    assert (await client.receive_until(b"put")).startswith(b"HTTP/1.1 200 ")


async def test_a_path_begins_with_a_slash(server: LoopbackServer) -> None:
    """A path that would run into the port is refused."""
    with pytest.raises(ValueError, match="must begin with a slash, not 'a'"):
        server.url("a")


def test_a_server_has_one_host_or_more() -> None:
    """No hosts at all are a mistake."""
    with pytest.raises(ValueError, match=r"hosts must be from 1 to \d+, not 0"):
        LoopbackServer(hosts=0)
