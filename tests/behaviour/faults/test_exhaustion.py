"""A machine that runs out of something: requests wait for it or fail, and nothing else happens."""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from asyncbatch import Fetcher, HTTPTransport
from asyncbatch._engine import ConnectFailed, Connector
from asyncbatch.testing import LoopbackServer, Reply
from tests.behaviour.faults.lanes import fetcher_on
from tests.machines import put_where_sockets_connect

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).parent / "programs" / "descriptors.py"

IP_LOCAL_PORT_RANGE = 51
"""An option of Linux 6.3 and newer."""
PORTS = 4


@pytest.fixture
def loopback() -> Iterator[LoopbackServer]:
    """Run a server in a thread of its own."""
    with LoopbackServer().in_thread() as server:
        yield server


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_process_without_descriptors_waits_for_them(
    loopback: LoopbackServer, way: tuple[str, str]
) -> None:
    """With a few left all requests succeed; with none they fail to connect, and then work again."""
    command = [sys.executable, "-W", "error", str(PROGRAM), *way, loopback.url()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=200, cwd=ROOT, env=environment
    )
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout)

    assert seen["few"] == {"ok": 60}
    # Of what waits for its next try when its deadline passes, that is the failure.
    assert sum(seen["none"].values()) == 60
    assert {*seen["none"]} <= {"connect", "timeout"}
    # Without a descriptor glibc knows no name; httpx's own transport passes that on.
    unknown = {"dns"} if way[1] == "stock" else set()
    assert {*seen["none by name"]} <= {"connect", "timeout"} | unknown
    assert seen["again"] == {"ok": 60}
    assert ended.stderr == ""


def can_limit_ports() -> bool:
    """Can a socket be told from which ports to connect?"""
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("I", 0))
        except OSError:
            return False
    return sys.platform == "linux"


def free_ports(count: int) -> tuple[int, int]:
    """Return the first and the last of so many in a row, from those that Linux connects from."""
    first = 45_000 + os.getpid() % 10_000
    return first, first + count - 1


@pytest.mark.skipif(not can_limit_ports(), reason="no IP_LOCAL_PORT_RANGE")
async def test_with_hardly_a_port_left_requests_wait_for_one(server: LoopbackServer) -> None:
    """Connections are shared, and no request fails because there are fewer of them."""
    server.on("/*", Reply(body="ok").delayed(0.005))
    first, last = free_ports(PORTS)
    option = (socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("I", last << 16 | first))
    transport = HTTPTransport(socket_options=[option], trust_env=False)
    async with (
        httpx.AsyncClient(transport=transport, trust_env=False) as client,
        Fetcher(client, concurrency=20, give_up_host_after=5) as fetcher,
    ):
        results = await fetcher.fetch_many([server.url(f"/{n}") for n in range(100)])

    assert not results.failures
    assert 1 <= server.statistics().connections <= PORTS


async def test_without_a_port_requests_fail_to_connect_and_the_host_is_not_blamed(
    server: LoopbackServer, way: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each after some tries, and the next batch succeeds as soon as there are ports again."""
    if way[1] == "stock":
        pytest.skip("the error is put in where the engine connects")

    def no_port(*_: Any) -> bool:
        raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    async with fetcher_on(way[1], deadline=1.5, give_up_host_after=3) as fetcher:
        with monkeypatch.context() as patch:
            put_where_sockets_connect(patch, no_port)
            failed = await fetcher.fetch_many([server.url()] * 20)
        results = await fetcher.fetch_many([server.url()] * 20)

    assert {str(failure.kind) for failure in failed.failures} <= {"connect", "timeout"}
    assert len(failed.failures) == 20
    assert not results.failures


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS])
async def test_a_request_waits_for_what_this_machine_has_run_out_of(
    number: int, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs no attempt, though there are no others, and the first failure would be the last."""
    connect = Connector.connect
    failures = 0

    async def run_out(self: Connector, *args: Any) -> Any:
        nonlocal failures
        if failures < 3:
            failures += 1
            raise ConnectFailed("nothing left") from OSError(number, "nothing left")
        return await connect(self, *args)

    monkeypatch.setattr(Connector, "begin_connect", lambda *_: None)
    monkeypatch.setattr(Connector, "connect", run_out)
    async with fetcher_on("direct", retry=None, give_up_host_after=1) as fetcher:
        result = await fetcher.fetch(server.url())

    assert result.ok, result
    assert (result.attempts, failures) == (1, 3)
