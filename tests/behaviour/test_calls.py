"""
How many calls of ours one request takes, and how often the next one is in another file.

Counted by `sys.setprofile`, where resuming a coroutine is a call too. A call costs about as much as
anything that it does; and who reads the way of a request turns the page at each change of file.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

import anyio
import pytest

import asyncbatch
from asyncbatch import Fetcher, Folder, Request
from asyncbatch._engine.io import _readiness
from asyncbatch.testing import LoopbackServer, Reply

pytestmark = [
    pytest.mark.asyncio_only,
    pytest.mark.skipif(
        # As the library finds it: see tests/machines.py.
        not hasattr(_readiness.select, "epoll"),
        reason="counted with one epoll for all sockets",
    ),
]

SOURCE = asyncbatch.__path__[0]
TESTING = str(Path(SOURCE, "testing"))

Calls: TypeAlias = list[tuple[str, str]]
"""The file and the name of each function called."""

# The first call of each step in which a response is received, and one that it has if the next
# request is begun in it.
RECEIVED = "SocketTransport._readable", "Exchange.renew"
# The same for each result, of a redirected request.
REDIRECTED = "Worker.take_response", "Redirects.next_hop"
# The same for each worker that is started, and for the last response of each.
STARTED = "Dispatcher._start_worker", "Relay.begin"
ENDED = "SocketTransport._readable", "Worker.relay_stopped"
# The same for each request that is sent at the end of a turn.
SENT = "Connection.send_request", "SocketTransport.write"


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """Run a server in a thread of its own, of whose calls nobody sees any."""
    with LoopbackServer().in_thread() as server:
        yield server


@pytest.fixture
def url(server: LoopbackServer) -> str:
    """Return the URL of the server."""
    return server.url()


@contextmanager
def counted(calls: Calls) -> Iterator[None]:
    """Add each call of a function of ours in this thread."""

    def note(frame: FrameType, event: str, _: object) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(SOURCE) and not file.startswith(TESTING):
            calls.append((file, frame.f_code.co_qualname))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)


def steps(calls: Calls, first: str, among: str) -> list[Calls]:
    """Return the calls from each of the function `first` to its next one, if `among` is in it."""
    places = [place for place, (_, name) in enumerate(calls) if name == first]
    found = [calls[start:end] for start, end in itertools.pairwise(places)]
    return [step for step in found if any(name == among for _, name in step)]


def changes(calls: Calls) -> int:
    """Count how often a call is in another file than the one before, in a step that repeats."""
    files = [file for file, _ in [*calls, calls[0]]]
    return sum(file != following for file, following in itertools.pairwise(files))


async def batch_of(
    requests: list[Any], concurrency: int, given: Callable[[list[Any]], Any] = list
) -> Calls:
    """Return the calls of a batch by a fetcher that has served the like before."""
    calls: Calls = []
    async with Fetcher(concurrency=concurrency) as fetcher:
        await fetcher.fetch_many(requests)
        with counted(calls):
            results = await fetcher.fetch_many(given(requests))
    assert all(result.ok for result in results)
    return calls


async def test_a_relay_changes_the_file_12_times_on_one_connection(url: str) -> None:
    """And makes 17 calls, from one response to the next."""
    calls = await batch_of([f"{url}?{number}" for number in range(40)], 1)

    begun = steps(calls, *RECEIVED)
    assert min(map(changes, begun)) <= 12
    assert min(map(len, begun)) <= 17


async def test_a_relay_changes_the_file_12_times_in_a_busy_pool(url: str) -> None:
    """A request is begun where a response is received, and sent at the end of the turn."""
    calls = await batch_of([f"{url}?{number}" for number in range(320)], 16)

    begun, sent = steps(calls, *RECEIVED), steps(calls, *SENT)
    assert min(map(changes, begun)) + min(map(changes, sent)) <= 12
    assert min(map(len, begun)) + min(map(len, sent)) <= 17


async def test_a_generator_takes_one_call_more_for_each_request(url: str) -> None:
    """It is read without the calls that other readers of the input make."""
    targets = [f"{url}?{number}" for number in range(40)]

    calls = await batch_of(targets, 1, lambda requests: (each for each in requests))

    assert min(map(len, steps(calls, *RECEIVED))) <= 18


@pytest.mark.parametrize(
    "options",
    [{"headers": {"x-own": "1"}}, {"method": "POST", "json": {"a": 1}}],
    ids=["header", "json"],
)
async def test_a_request_that_is_put_together_takes_60_calls(
    url: str, options: dict[str, Any]
) -> None:
    """Alone at its host, with a field of its own or a body."""
    calls = await batch_of([Request(url, **options)] * 40, 1)

    assert min(map(len, steps(calls, *RECEIVED))) <= 60


async def test_a_redirected_request_takes_81_calls(server: LoopbackServer) -> None:
    """With the request that the redirect leads to, from one result to the next."""
    server.on("/moved", Reply.redirect("/"))

    calls = await batch_of([server.url(f"/moved?{number}") for number in range(40)], 1)

    assert min(map(len, steps(calls, *REDIRECTED))) <= 81


async def test_a_single_fetch_takes_75_calls(url: str) -> None:
    """From its call to its result, with a connection at hand."""
    taken = []
    async with Fetcher() as fetcher:
        for _ in range(20):
            calls: Calls = []
            with counted(calls):
                result = await fetcher.fetch(url)
            assert result.ok
            taken.append(len(calls))

    assert min(taken) <= 75


async def test_a_worker_takes_18_calls_to_start(url: str) -> None:
    """With its first request, from one worker to the next in a turn of the event loop."""
    calls = await batch_of([f"{url}?{number}" for number in range(40)], 40)

    assert min(map(len, steps(calls, *STARTED))) <= 18


async def test_a_worker_takes_16_calls_to_end(url: str) -> None:
    """With its last response, where one that begins the next request takes 13."""
    calls = await batch_of([f"{url}?{number}" for number in range(40)], 40)

    assert min(map(len, steps(calls, *ENDED))) <= 16


async def test_a_file_takes_85_calls(url: str, tmp_path: Path) -> None:
    """In the event loop, from its request to its result; threads of the disk make a few more."""
    count = 200
    calls: Calls = []
    async with Fetcher(concurrency=1) as fetcher:
        await fetcher.fetch_many([f"{url}?{number}" for number in range(2)])
        with counted(calls):
            results = await fetcher.fetch_many(
                [f"{url}{number}" for number in range(count)], to=Folder(tmp_path)
            )
    assert all(result.ok for result in results)

    assert len(calls) <= 85 * count


async def test_batches_that_share_the_slots_take_hardly_more_calls_than_one(url: str) -> None:
    """A relay that gives its permit away is ended for it, but only once in each turn."""
    targets = [f"{url}?{number}" for number in range(600)]

    async def calls_of(batches: int) -> int:
        calls: Calls = []
        with counted(calls):
            async with anyio.create_task_group() as tasks:
                for _ in range(batches):
                    tasks.start_soon(fetcher.fetch_many, targets[: len(targets) // batches])
        return len(calls)

    async with Fetcher(concurrency=20, retry=None) as fetcher:
        await fetcher.fetch_many(targets)
        alone, shared = await calls_of(1), await calls_of(2)

    assert shared <= 1.5 * alone
