"""Admission to httpcore's pool: no two requests are given one connection, and nobody is kept."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator, Generator
from typing import Any

import anyio
import httpcore
import httpx
import pytest

from asyncbatch import FailureKind, Fetcher
from asyncbatch._lanes.client import _httpcore_pool
from asyncbatch._lanes.client._httpcore_pool import (
    FEW_REQUESTS,
    Entering,
    admission_of,
    take_assigned,
)
from asyncbatch.testing import LoopbackServer, Reply

pytestmark = pytest.mark.any_loop

MANY = 10


@pytest.fixture
async def server() -> AsyncIterator[LoopbackServer]:
    """Run a server."""
    async with LoopbackServer() as server:
        yield server


def new_client(library: Any, **settings: Any) -> Any:
    """Make a client with a pool of `MANY`."""
    limits = library.Limits(max_connections=MANY, max_keepalive_connections=MANY)
    return library.AsyncClient(trust_env=False, limits=limits, **settings)


@pytest.fixture
def turned_away(library: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list that gets an entry for each request that finds its connection taken."""
    core: Any = importlib.import_module(library.__name__.replace("httpx", "httpcore"))
    real = core.AsyncHTTP11Connection.handle_async_request
    away: list[str] = []

    async def noting(self: Any, request: Any) -> Any:
        try:
            return await real(self, request)
        except core.ConnectionNotAvailable:
            away.append("taken")
            raise

    monkeypatch.setattr(core.AsyncHTTP11Connection, "handle_async_request", noting)
    # On a busy machine 50 requests take longer than the timeout, and the last enter without it.
    monkeypatch.setattr(_httpcore_pool, "ADMISSION_TIMEOUT", 100.0)
    return away


async def test_nobody_is_given_a_connection_that_another_has(
    library: Any, server: LoopbackServer, turned_away: list[str]
) -> None:
    """However many start at once, in however many batches."""
    async with (
        new_client(library) as client,
        Fetcher(client, concurrency=MANY) as first,
        Fetcher(client) as second,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(first.fetch_many, [server.url()] * 50)
        tasks.start_soon(second.fetch_many, [server.url()] * 50)

    assert server.statistics().requests == 100
    assert turned_away == []


async def test_responses_are_waited_for_together(library: Any, server: LoopbackServer) -> None:
    """Whoever has a connection lets the next one in."""
    server.on("/", Reply().hang())

    async with (
        new_client(library) as client,
        Fetcher(client) as fetcher,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(fetcher.fetch_many, [server.url()] * MANY)
        with anyio.fail_after(100):
            while len(server.requests) < MANY:  # noqa: ASYNC110  # the server tells nobody
                await anyio.sleep(0.001)
        tasks.cancel_scope.cancel()


async def test_a_host_that_does_not_let_itself_be_connected_to_keeps_nobody(
    library: Any, server: LoopbackServer
) -> None:
    """The next one goes in while the connection is being made."""
    async with new_client(library) as client, Fetcher(client, retry=None) as fetcher:
        backend = client._transport._pool._network_backend
        connect = backend.connect_tcp

        async def connect_tcp(host: str, port: int, **options: Any) -> Any:
            if port == 9:
                await anyio.sleep_forever()
            return await connect(host, port, **options)

        backend.connect_tcp = connect_tcp
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fetcher.fetch, "http://127.0.0.1:9/")
            await anyio.wait_all_tasks_blocked()
            result = await fetcher.fetch(server.url())
            tasks.cancel_scope.cancel()

    assert result.ok


async def test_who_is_cancelled_before_it_is_admitted_keeps_nobody(
    library: Any, server: LoopbackServer
) -> None:
    """At whatever moment."""
    async with new_client(library) as client, Fetcher(client, concurrency=MANY) as fetcher:
        for turns in range(12):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fetcher.fetch_many, [server.url()] * MANY)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
        results = await fetcher.fetch_many([server.url()] * 20)

    assert results.failures == []


async def test_a_failure_lets_the_next_one_in(library: Any, server: LoopbackServer) -> None:
    """Also where httpcore has told nothing before."""
    async with new_client(library) as client, Fetcher(client, retry=None) as fetcher:
        pool = client._transport._pool

        def fail(*_: object) -> None:
            raise library.ConnectError("made up by the test")

        pool.create_connection = fail
        failed = await fetcher.fetch(server.url())
        del pool.create_connection
        result = await fetcher.fetch(server.url())

    assert not failed.ok
    assert failed.kind is FailureKind.connect
    assert result.ok


async def test_a_request_waits_for_no_other_if_the_pool_has_room(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has been assigned its connection, which is then taken, before another one enters."""
    waits: list[Any] = []
    monkeypatch.setattr(_httpcore_pool.Admission, "admit", waits.append)
    async with new_client(httpx) as client, Fetcher(client, concurrency=MANY) as fetcher:
        for _ in range(2):  # with new connections, and with those
            results = await fetcher.fetch_many([server.url()] * 50)
            results.raise_for_failures()

    assert waits == []


async def test_a_connection_taken_by_a_cancelled_request_is_given_up(
    server: LoopbackServer,
) -> None:
    """At whatever moment it is cancelled, all connections that stay can be used again."""
    async with new_client(httpx) as client, Fetcher(client, concurrency=MANY) as fetcher:
        pool = client._transport._pool
        for turns in range(12):
            (await fetcher.fetch_many([server.url()] * MANY)).raise_for_failures()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fetcher.fetch_many, [server.url()] * MANY)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()

            assert pool._requests == []
            assert all(each.is_idle() or each.is_closed() for each in pool.connections)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_fetch_that_is_cancelled_natively_leaves_the_pool(server: LoopbackServer) -> None:
    """Whatever step it reaches: httpcore leaves some in the pool, and their connections with it."""
    limits = httpx.Limits(max_connections=1)
    async with (
        httpx.AsyncClient(trust_env=False, limits=limits) as client,
        Fetcher(client) as fetcher,
    ):
        pool: Any = client._transport._pool  # type: ignore[attr-defined]
        steps = 0
        while True:
            assert (await fetcher.fetch(server.url())).ok
            task = asyncio.create_task(fetcher.fetch(server.url()))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            for _ in range(20):  # the attempt's own clean-up
                await asyncio.sleep(0)

            assert pool._requests == [], f"after {steps} steps"
            assert all(each.is_idle() or each.is_closed() for each in pool.connections)
            if not task.cancelled():
                return
            steps += 1


class OfStub:
    """An object with the attributes given."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


async def test_only_the_newest_request_takes_its_connection(server: LoopbackServer) -> None:
    """It is known by its trace; in another layout of the pool nothing is taken."""

    async def trace(*_: object) -> None:
        """Look away."""

    async with new_client(httpx) as client:
        await client.get(server.url())
        pool = client._transport._pool
        [connection] = pool.connections
        request = httpcore.Request(
            "GET", server.url(), headers={"Host": "a.test"}, extensions={"trace": trace}
        )
        for requests in (
            [],
            [OfStub(request=request, connection=None)],
            [OfStub(request=httpcore.Request("GET", server.url()), connection=connection)],
            [OfStub(status=request)],
            # Too many: httpcore would look at each of their connections.
            [OfStub(request=request, connection=connection)] * (FEW_REQUESTS + 1),
        ):
            assert not take_assigned(OfStub(_requests=requests), trace)
            assert connection.is_available()

        newest = OfStub(request=request, connection=connection)
        assert take_assigned(OfStub(_requests=[newest]), trace)
        assert not connection.is_available()
        assert not connection.is_idle()
        assert (await connection.handle_async_request(request)).status == 200


class Steps:
    """Waits for what it is given, and returns what came of each wait."""

    def __init__(self, *waits: object) -> None:
        self._waits = waits

    def __await__(self) -> Generator[Any, Any, list[object]]:
        came: list[object] = []
        for wait in self._waits:
            try:
                came.append((yield wait))
            except ValueError as error:
                came.append(error)
        return came


def run_by(awaitable: Any, *answers: object) -> tuple[list[object], object]:
    """Return what an awaitable waits for, and its result; an answer may be raised in it."""
    steps, waits = awaitable.__await__(), []
    try:
        waits.append(next(steps))
        for answer in answers:
            is_error = isinstance(answer, BaseException)
            waits.append(steps.throw(answer) if is_error else steps.send(answer))
    except StopIteration as end:
        return waits, end.value
    raise AssertionError(waits)


@pytest.mark.parametrize(
    "answers",
    [(), (None,), (None, None, 3), (1, 2, None), (ValueError("a"), None), (1, ValueError("b"))],
)
def test_an_entering_request_is_passed_on_unchanged(answers: tuple[object, ...]) -> None:
    """Its waits, what comes of them, and its result."""
    waits = [object() for _ in answers]
    told: list[object] = []

    found = run_by(Entering(Steps(*waits), lambda: told.append(1)), *answers)

    assert found == run_by(Steps(*waits), *answers) == (waits, list(answers))
    assert told == [1] * bool(answers)


def test_an_entering_request_that_is_given_up_ends() -> None:
    """An error that it does not catch comes out, and so does its own."""
    for error in (KeyError("a"), GeneratorExit()):
        with pytest.raises(type(error)):
            run_by(Entering(Steps(1, 2), list), error)


async def test_what_tells_nothing_has_no_admission(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mock, a proxy, HTTP/2, and a patched httpcore may keep a request for long."""
    mock = httpx.MockTransport(lambda request: httpx.Response(200))
    async with (
        new_client(httpx) as plain,
        httpx.AsyncClient(transport=mock) as mocked,
        httpx.AsyncClient(mounts={"http://a.test": mock}) as mounted,
        httpx.AsyncClient(proxy="http://127.0.0.1:9") as proxied,
        new_client(httpx, http2=True) as http2,
    ):
        assert admission_of(plain) is admission_of(plain) is not None
        assert [admission_of(each) for each in (mocked, mounted, proxied, http2)] == [None] * 4

        async def handle(*_: Any) -> Any:
            raise AssertionError

        monkeypatch.setattr(httpcore.AsyncConnectionPool, "handle_async_request", handle)
        assert admission_of(plain) is None


async def test_mocked_requests_are_under_way_together() -> None:
    """A transport of the caller's that waits for all of them gets all of them."""
    everyone = anyio.Event()
    waiting = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal waiting
        waiting += 1
        if waiting == MANY:
            everyone.set()
        await everyone.wait()
        return httpx.Response(200)

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client,
        Fetcher(client, concurrency=MANY) as fetcher,
    ):
        results = await fetcher.fetch_many(["http://a.test/"] * MANY)

    assert results.failures == []


class Meeting:
    """Lets those who come go on when `MANY` of them have come."""

    def __init__(self) -> None:
        self._come = 0
        self._complete = anyio.Event()

    async def wait(self) -> None:
        """Come, and wait for the others."""
        self._come += 1
        if self._come == MANY:
            self._complete.set()
        with anyio.fail_after(100):
            await self._complete.wait()


async def fetch_together(client: Any, server: LoopbackServer) -> None:
    """Fetch as many at once as there are to meet."""
    async with client, Fetcher(client, retry=None) as fetcher:
        results = await fetcher.fetch_many([server.url()] * MANY)

    results.raise_for_failures()


async def test_hooks_run_together(library: Any, server: LoopbackServer) -> None:
    """Whatever a request hook waits for, others do not wait for it."""
    meeting = Meeting()
    client = new_client(library)

    async def wait(_: object) -> None:
        await meeting.wait()

    client.event_hooks = {"request": [wait]}
    await fetch_together(client, server)


async def test_a_hook_may_fetch_by_the_same_client(library: Any, server: LoopbackServer) -> None:
    """A token, say, that all requests are to have."""
    tokens: list[bool] = []

    async with new_client(library) as client, Fetcher(client, retry=None) as fetcher:

        async def add_token(request: Any) -> None:
            if request.url.path != "/token":
                tokens.append((await fetcher.fetch(server.url("/token"))).ok)

        client.event_hooks = {"request": [add_token]}
        with anyio.fail_after(100):
            await fetcher.fetch_many([server.url()] * 2)

    assert tokens == [True, True]


async def test_transports_of_the_callers_run_together(library: Any, server: LoopbackServer) -> None:
    """One that derives from httpx's own may keep requests back before it passes them on."""
    meeting = Meeting()

    class Patient(library.AsyncHTTPTransport):  # type: ignore[misc, name-defined]
        async def handle_async_request(self, request: Any) -> Any:
            await meeting.wait()
            return await super().handle_async_request(request)

    await fetch_together(new_client(library, transport=Patient()), server)


async def test_clients_of_the_callers_run_together(library: Any, server: LoopbackServer) -> None:
    """So may one that derives from httpx's client."""
    meeting = Meeting()

    class Patient(library.AsyncClient):  # type: ignore[misc, name-defined]
        async def send(self, *args: Any, **options: Any) -> Any:
            await meeting.wait()
            return await super().send(*args, **options)

    await fetch_together(Patient(trust_env=False), server)


@pytest.mark.parametrize("place", ["client", "transport", "pool", "class"])
async def test_what_has_been_replaced_runs_together(
    library: Any, server: LoopbackServer, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mocks and instruments replace methods, of one object or of all."""
    meeting = Meeting()
    client = new_client(library)
    target, name = {
        "client": (client, "send"),
        "transport": (client._transport, "handle_async_request"),
        "pool": (client._transport._pool, "handle_async_request"),
        "class": (library.AsyncHTTPTransport, "handle_async_request"),
    }[place]
    real = getattr(target, name)

    async def wait(*args: Any, **options: Any) -> Any:
        await meeting.wait()
        return await real(*args, **options)

    monkeypatch.setattr(target, name, wait)
    await fetch_together(client, server)


async def test_nobody_waits_for_one_who_gets_no_connection(
    library: Any, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the caller's own requests have all of the pool, ours come to its queue all the same."""
    monkeypatch.setattr(_httpcore_pool, "ADMISSION_TIMEOUT", 0.001)

    async with (
        new_client(library, timeout=library.Timeout(None, pool=0.2)) as client,
        Fetcher(client, concurrency=MANY, retry=None) as fetcher,
        contextlib.AsyncExitStack() as held,
    ):
        for _ in range(MANY):
            await held.enter_async_context(client.stream("GET", server.url()))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fetcher.fetch_many, [server.url()] * MANY)
            with anyio.fail_after(100):
                while len(client._transport._pool._requests) < 2 * MANY:  # noqa: ASYNC110
                    await anyio.sleep(0.001)
            tasks.cancel_scope.cancel()


async def test_a_client_of_another_make_has_no_admission(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release of httpx that has renamed a step of a request is served more slowly, and served."""
    async with new_client(httpx) as client:
        monkeypatch.delattr(httpx.AsyncClient, "_send_handling_redirects")

        assert admission_of(client) is None
