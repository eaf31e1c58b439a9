"""Names that fail, hang or resolve to hundreds of addresses, in each lane."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncbatch import Request, Retry
from asyncbatch._engine.connect._resolver import MAX_THREADS, RELIEF_SECONDS
from asyncbatch.testing import LoopbackServer
from tests.behaviour.faults.lanes import fetcher_on

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[3]
HANGING = MAX_THREADS + 8

Answer = Callable[[], list[str]]


class Names:
    """A name service that is scripted, and counts what it is asked."""

    def __init__(self, original: Callable[..., Any]) -> None:
        self.asked: Counter[str] = Counter()
        self.answers: dict[str, Answer] = {}
        self.free = threading.Event()
        self._original = original

    def hang(self) -> list[str]:
        """Answer when the test is over."""
        self.free.wait(20)
        return ["127.0.0.1"]

    def fail(self, number: int) -> Answer:
        """Return an answer that is an error."""

        def answer() -> list[str]:
            raise socket.gaierror(number, "made up by the test")

        return answer

    def getaddrinfo(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        """Stand in for `socket.getaddrinfo`."""
        name = host.decode() if isinstance(host, bytes) else str(host)
        if not name.endswith(".test"):
            return self._original(host, port, *args, **kwargs)
        flags = args[3] if len(args) > 3 else kwargs.get("flags", 0)
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "no number")
        self.asked[name] += 1
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, (address, int(port))) for address in self.answers[name]()]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    """Script the names of the test."""
    names = Names(socket.getaddrinfo)
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    yield names
    names.free.set()


def named(server: LoopbackServer, name: str) -> str:
    """Return the URL of the server's port at a name."""
    return f"http://{name}:{server.port}/"


async def test_a_name_that_is_unknown_is_asked_for_once(
    server: LoopbackServer, lane: str, names: Names
) -> None:
    """There is no such name: to ask again would change nothing."""
    names.answers["nowhere.test"] = names.fail(socket.EAI_NONAME)
    async with fetcher_on(lane, retry=Retry(attempts=3, backoff=0)) as fetcher:
        result = await fetcher.fetch(named(server, "nowhere.test"))

    assert result.kind == "dns"
    assert result.attempts == names.asked["nowhere.test"] == 1


async def test_a_name_server_that_fails_is_asked_again(
    server: LoopbackServer, lane: str, names: Names
) -> None:
    """SERVFAIL, or no answer in time, may pass."""
    answers = iter([names.fail(socket.EAI_AGAIN), lambda: ["127.0.0.1"]])
    names.answers["again.test"] = lambda: next(answers)()
    async with fetcher_on(lane, retry=Retry(attempts=3, backoff=0)) as fetcher:
        result = await fetcher.fetch(named(server, "again.test"))

    assert result.ok
    assert result.attempts == names.asked["again.test"] == 2


async def test_one_name_among_many_requests_is_looked_up_once(
    server: LoopbackServer, way: tuple[str, str], names: Names
) -> None:
    """However many ask at once."""
    if way[1] == "stock":
        pytest.skip("httpx's transport looks up for each connection")
    names.answers["one.test"] = lambda: ["127.0.0.1"]
    async with fetcher_on(way[1]) as fetcher:
        results = await fetcher.fetch_many([named(server, "one.test")] * 200)

    assert not results.failures
    assert names.asked["one.test"] == 1


async def test_names_that_hang_hold_up_nobody_else(
    server: LoopbackServer, way: tuple[str, str], names: Names
) -> None:
    """Their own requests time out; other hosts, those with names too, are fetched meanwhile."""
    if way[1] == "stock":
        pytest.skip("httpx looks up in the threads of the event loop, of which there are few")
    hanging = [f"hangs{number}.test" for number in range(HANGING)]
    names.answers.update(dict.fromkeys(hanging, names.hang))
    names.answers["well.test"] = lambda: ["127.0.0.1"]
    requests = [
        *(Request(named(server, name), timeout=0.1) for name in hanging),
        *[Request(server.url(), timeout=20)] * 20,
        Request(named(server, "well.test"), timeout=RELIEF_SECONDS + 20),
    ]
    async with fetcher_on(way[1], retry=None) as fetcher:
        results = await fetcher.fetch_many(requests)

        assert {result.kind for result in results[:HANGING]} == {"timeout"}
        assert all(result.ok for result in results[HANGING:])
        names.free.set()


async def test_of_hundreds_of_addresses_a_dead_one_costs_little(
    server: LoopbackServer, lane: str, names: Names
) -> None:
    """Who refuses is passed over, and who is silent is waited for a moment only."""
    dead = [f"127.0.99.{number}" for number in range(1, 13)]
    silent = server.silent_url().split("/")[2].partition(":")[0]
    names.answers["many.test"] = lambda: [*dead, silent, "127.0.0.1", *dead * 20]
    async with fetcher_on(lane, retry=None) as fetcher:
        results = await fetcher.fetch_many([named(server, "many.test")] * 5)

    assert not results.failures


async def test_hundreds_of_silent_addresses_end_with_the_connect_timeout(
    server: LoopbackServer, lane: str, names: Names
) -> None:
    """Which is one for all of them, not one for each."""
    silent = [
        server.silent_url(host=number).split("/")[2].partition(":")[0] for number in range(1, 5)
    ]
    names.answers["silent.test"] = lambda: silent * 80
    async with fetcher_on(lane, retry=None, connect_timeout=0.3, timeout=30) as fetcher:
        results = await fetcher.fetch_many([named(server, "silent.test")] * 3)

    assert [failure.kind for failure in results.failures] == ["timeout"] * 3
    assert max(failure.elapsed for failure in results.failures) < 10


def test_a_look_up_that_hangs_does_not_keep_the_interpreter() -> None:
    """The program ends by itself when it is done, whatever its name server does."""
    program = Path(__file__).parent / "programs" / "hanging_name.py"
    command = [sys.executable, "-W", "error", str(program)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=ROOT)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "timeout\n", "")
