"""An error in a callback of the event loop, for which no task waits, ends the batch with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from asyncbatch import Fetcher, Folder, HTTPTransport, Request, Result
from asyncbatch._batch._pending_file import PendingFile
from asyncbatch._batch._worker import Worker
from asyncbatch._batch._workers import Workers
from asyncbatch._engine._exchange import Exchange
from asyncbatch._engine.connection._connection import Connection
from asyncbatch._engine.io._outbox import Outbox
from asyncbatch._engine.io._socket_transport import SocketTransport
from asyncbatch._engine.pool._dialing import Dial
from asyncbatch._engine.pool._idle import IdleConnections
from asyncbatch._engine.pool._pool import Pool
from asyncbatch._files._groups import StepCall
from asyncbatch._runtime._slots import Slots
from asyncbatch._schedule._host import Host
from asyncbatch._schedule._queue import JobQueue
from asyncbatch.testing import LoopbackServer, Reply

MANY = 30


def failing(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, at: int) -> Callable[[], bool]:
    """Have a method raise at its call of this number; return whether it has been called."""
    method: Callable[..., Any] = getattr(owner, name)
    count = 0

    def call(*args: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        if count == at:
            raise MemoryError("injected")
        return method(*args, **named)

    monkeypatch.setattr(owner, name, call)
    return lambda: count >= at


def urls_of(server: LoopbackServer) -> list[str]:
    """Script answers of all kinds; each takes another way through the connections."""
    server.on("/moved/*", Reply.redirect("/ok/there"))
    server.on("/missing/*", Reply(404))
    server.on("/last/*", Reply(body="last", headers={"Connection": "close"}))
    server.on("/cut/*", Reply(body=bytes(99)).cut(body=5))
    server.on("/*", Reply(body="ok"))
    kinds = ("ok", "ok", "moved", "missing", "last", "cut")
    return [server.url(f"/{kinds[n % len(kinds)]}/{n}") for n in range(MANY)]


@pytest.mark.parametrize("at", [1, 4])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Pool, "release"),
        (Pool, "forget"),
        (Pool, "connection_opened"),
        (Pool, "_start_starved"),
        (IdleConnections, "add"),
        (IdleConnections, "remove"),
        (Dial, "_ended"),
        (Connection, "start"),
        (Connection, "close"),
        (Connection, "send_request"),
        (SocketTransport, "abort"),
        (Outbox, "_send_all"),
        (Exchange, "settle"),
        (Exchange, "renew"),
        (Exchange, "fail"),
        (Worker, "relay_stopped"),
        (Workers, "need_task"),
        (Workers, "worker_ended"),
    ],
)
async def test_a_callback_without_memory_ends_the_batch(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, at: int
) -> None:
    """Nothing waits forever or is lost, and the fetcher goes on with the next batch."""
    urls = urls_of(server)
    async with Fetcher(concurrency=10, retry=None, timeout=None) as fetcher:
        with monkeypatch.context() as patch, anyio.fail_after(20):
            has_failed = failing(patch, owner, name, at)
            try:
                results = await fetcher.fetch_many(urls)
            except MemoryError:
                assert has_failed()
            else:  # it was not called so often, or the error is that of one request
                assert [result.index for result in results] == list(range(MANY))
        with anyio.fail_after(20):
            again = await fetcher.fetch_many([server.url(f"/ok/{n}") for n in range(MANY)])

        again.raise_for_failures()
        assert fetcher.statistics().in_flight == 0


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (PendingFile, "_record_result"),
        (Workers, "file_ended"),
        (Workers, "worker_ended"),
    ],
)
async def test_a_file_whose_callback_has_no_memory_ends_the_batch(
    server: LoopbackServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    name: str,
) -> None:
    """Also the files of the same group have their ends."""
    server.on("/*", Reply(body="ok"))
    urls = [server.url(f"/{n}") for n in range(MANY)]
    async with Fetcher(concurrency=10, retry=None, timeout=None) as fetcher:
        with monkeypatch.context() as patch, anyio.fail_after(20):
            failing(patch, owner, name, 2)
            with pytest.raises(MemoryError, match="injected"):
                await fetcher.fetch_many(urls, to=Folder(tmp_path / "first"))
        with anyio.fail_after(20):
            again = await fetcher.fetch_many(urls, to=Folder(tmp_path / "second"))

        again.raise_for_failures()
        assert fetcher.statistics().in_flight == 0


async def test_a_file_is_announced_twice_if_there_was_no_memory(
    server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call of the disk whose end could not be told is told again, and its file is there."""
    server.on("/*", Reply(body="ok"))
    urls = [server.url(f"/{n}") for n in range(MANY)]
    has_failed = failing(monkeypatch, StepCall, "tell_ended", 2)

    with anyio.fail_after(20):
        async with Fetcher(concurrency=10, retry=None, timeout=None) as fetcher:
            results = await fetcher.fetch_many(urls, to=Folder(tmp_path))

    assert has_failed()
    results.raise_for_failures()


@pytest.mark.parametrize(
    ("owner", "name"),
    [(Host, "_learn"), (JobQueue, "take_back"), (Slots, "release")],
)
async def test_an_error_in_what_batches_share_ends_all_of_them(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    """A batch that waits for a host or a slot of another one does not wait forever."""
    server.on("/busy/*", Reply(503, headers={"Retry-After": "0"}), Reply(body="ok"))
    urls = [server.url(f"/busy/{n}") for n in range(MANY)]
    errors = 0
    async with Fetcher(concurrency=4, per_host=2) as fetcher:

        async def fetch() -> None:
            nonlocal errors
            try:
                await fetcher.fetch_many(urls)
            except MemoryError:
                errors += 1

        with monkeypatch.context() as patch, anyio.fail_after(20):
            has_failed = failing(patch, owner, name, 5)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fetch)
                tasks.start_soon(fetch)

        assert has_failed()
        assert errors == 2


async def test_a_client_on_the_transport_does_not_wait_for_a_lost_exchange(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its request fails with the error, and the next one is sent."""
    server.on("/*", Reply(body="ok"))
    async with httpx.AsyncClient(transport=HTTPTransport(), timeout=None) as client:
        with monkeypatch.context() as patch, anyio.fail_after(20):
            failing(patch, Exchange, "settle", 1)
            with pytest.raises(MemoryError, match="injected"):
                await client.get(server.url("/first"))
        with anyio.fail_after(20):
            assert (await client.get(server.url("/second"))).text == "ok"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_exit_in_a_callback_on_trio_ends_the_batch(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """As of a signal handler; the loop of a nursery does not end with it."""
    received = Connection.received
    count = 0

    def receive(self: Connection, content: Any) -> None:
        nonlocal count
        count += 1
        if count == 5:
            raise error
        received(self, content)

    async def fetch() -> None:
        async with LoopbackServer(default=Reply(body="ok")) as server, Fetcher() as fetcher:
            with anyio.fail_after(20):
                await fetcher.fetch_many([server.url(f"/{n}") for n in range(MANY)])

    monkeypatch.setattr(Connection, "received", receive)
    with pytest.raises(error):
        anyio.run(fetch, backend="trio")


async def test_an_error_of_an_object_of_the_caller_ends_no_other_batch(
    server: LoopbackServer,
) -> None:
    """Its own request fails, as an `auth_flow` that yields no request shows."""
    server.on("/slow", Reply(body="ok", delay=0.2))

    class NoRequests(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Any:
            yield "a text"

    others: list[Result] = []
    async with Fetcher(retry=None) as fetcher:

        async def fetch_other() -> None:
            others.extend(await fetcher.fetch_many([server.url("/slow")]))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fetch_other)
            (failed,) = await fetcher.fetch_many([Request(server.url("/"), auth=NoRequests())])

    assert not failed.ok
    assert [other.ok for other in others] == [True]
