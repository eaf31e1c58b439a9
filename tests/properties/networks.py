"""
Networks for the invariants of whole batches: one without sockets, one on the loopback device.

Both do what the calls plan, and keep the same books of every try that starts and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

import anyio
import attrs
import httpx

from asyncbatch import Fetcher, Rate
from asyncbatch._engine.io._deadlines import SWEEP_INTERVAL
from asyncbatch.testing import LoopbackServer, RecordedRequest, Reply
from tests.properties.mixture import DEAD, LIVE, LONG, SILENT, Call, Limits

CLOSE = 1e-6
MOST_STARTS = 20_000


class Books:
    """
    What is noted of all tries: when they start and end, and which promises that breaks.

    Args:
        limits: What has been promised.
        is_exact: Whether an end is noted before the start that it makes room for; else only what
            lasts for a while counts as being under way.
        late: Seconds by which a limit of time may be late.
    """

    def __init__(self, limits: Limits, *, is_exact: bool, late: float) -> None:
        self._limits = limits
        self._is_exact = is_exact
        self.late = late
        self.calls: dict[str, Call] = {}
        self.tries: Counter[str] = Counter()
        self.active: Counter[str] = Counter()
        self.broken: list[str] = []
        self._starts: list[float] = []
        self._host_starts: dict[str, list[float]] = {host: [] for host in (*LIVE, DEAD, SILENT)}
        # When the last pause of a host began, and when it ends.
        self._pauses: dict[str, tuple[float, float]] = {}
        self._moment = -math.inf
        # Of the event loop, which some ends outlive.
        self._clock = asyncio.get_running_loop().time

    @contextlib.contextmanager
    def attempt(self, path: str) -> Iterator[tuple[str, float]]:
        """Note a try from its start to its end; give what is to happen to it."""
        call = self.calls[path]
        step = call.step(self.tries[path])
        self.tries[path] += 1
        self._note_start(call.host)
        begun = self._clock()
        self.active[call.host] += 1
        self._look()
        try:
            yield step
        finally:
            self._look()
            self.active[call.host] -= 1
            took = self._clock() - begun
            self._demand(took <= self._limits.timeout_of(call) + self.late, "timeout")

    def note_answer(self, path: str, kind: str) -> None:
        """Note what is answered, just before it is."""
        call = self.calls[path]
        retry = self._limits.retry_of(call)
        if kind == "asked" and retry is not None and retry.pause_hosts:
            now = self._clock()
            self._pauses[call.host] = (now, now + 1)

    def forget_pause(self, host: str) -> None:
        """Note that a host was opened again."""
        self._pauses.pop(host, None)

    def _look(self) -> None:
        """Look whether more is under way than may be, over what has just gone by."""
        now = self._clock()
        if not self._is_exact and now <= self._moment:
            return
        self._moment = now
        limits = self._limits
        self._demand(sum(self.active.values()) <= limits.concurrency, "concurrency")
        for host, active in self.active.items():
            self._demand(active <= (limits.per_host_of(host) or math.inf), f"per_host of {host}")

    def _note_start(self, host: str) -> None:
        now = self._clock()
        since, until = self._pauses.get(host, (now, now))
        # What starts in the very moment of the answer has been on its way before.
        self._demand(now <= since + CLOSE or now >= until - CLOSE, f"pause of {host}")
        if not self._is_exact:
            self._look()
        self._starts.append(now)
        self._host_starts[host].append(now)
        self._demand(keeps_rate(self._starts, self._limits.total_rate), "total_rate")
        rate = self._limits.rate_of(host)
        self._demand(keeps_rate(self._host_starts[host], rate), f"rate of {host}")
        self._demand(len(self._starts) < MOST_STARTS, "an end")

    def _demand(self, is_kept: bool, what: str) -> None:
        # Not raised: it would be one more failure of that request.
        if not is_kept:
            self.broken.append(f"{what} at {self._clock()}")


def keeps_rate(starts: list[float], rate: Rate | None) -> bool:
    """Any n starts span at least (n - burst) intervals."""
    if rate is None:
        return True
    recent = starts[-20:]
    return all(
        recent[-1] - moment >= (n - rate.burst) * rate.interval - CLOSE
        for n, moment in enumerate(reversed(recent), start=1)
    )


class Network(Protocol):
    """What the scenarios ask of a network."""

    books: Books
    options: dict[str, Any]
    """Of a fetcher that is to use it."""
    counts_dead: bool
    """Whether tries at hosts that take no connections are in the books."""

    def origin(self, host: str) -> str:
        """Return the beginning of a host's URLs."""
        ...

    def name(self, host: str) -> str:
        """Return a host's name, as the option `hosts` has it."""
        ...

    def watch(self, fetcher: Fetcher) -> None:
        """Count what goes over it without a task."""


class MadeUp(httpx.AsyncBaseTransport):
    """A network in the place of a transport: batches over it go through httpx's client."""

    counts_dead = True

    def __init__(self, limits: Limits) -> None:
        self.books = Books(limits, is_exact=True, late=CLOSE)
        self.options = {"transport": self}

    def origin(self, host: str) -> str:
        return f"http://{host}.test"

    def name(self, host: str) -> str:
        return f"{host}.test"

    def watch(self, fetcher: Fetcher) -> None:
        pass

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path, books = request.url.path, self.books
        if path.startswith("/free/"):
            return _answer_free(path)
        with books.attempt(path) as (kind, delay):
            host = books.calls[path].host
            if host == DEAD:
                raise httpx.ConnectError("refused", request=request)
            await anyio.sleep(math.inf if kind == "hang" or host == SILENT else delay)
            if kind == "refused":
                raise httpx.ConnectError("refused", request=request)
            if kind == "reset":
                raise httpx.ReadError("reset", request=request)
            books.note_answer(path, kind)
            status, headers, body = answer_of(kind, path, self.origin("c"))
            return httpx.Response(status, headers=headers, content=body)


def _answer_free(path: str) -> httpx.Response:
    if path.endswith("429"):
        return httpx.Response(429)
    return httpx.Response(200, text=path)


def answer_of(kind: str, path: str, elsewhere: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of an answer."""
    match kind:
        case "asked":
            return 429, {"retry-after": "1"}, b""
        case "too long":
            return 500, {"retry-after": "3600"}, b""
        case "429" | "500" | "503":
            return int(kind), {}, b""
        case "moved":
            return 302, {"location": f"{elsewhere}/free{path}"}, b""
        case "moved to 429":
            return 302, {"location": f"{elsewhere}/free{path}/429"}, b""
        case "big":
            return 200, {}, b"x" * (2 * LONG)
        case _:
            return 200, {}, path.encode()


@attrs.frozen(kw_only=True)
class Planned(Reply):
    """An answer of the loopback server that is noted in the books from its start to its end."""

    books: Books
    path: str
    elsewhere: str

    def steps(self, request: RecordedRequest, draw: float = 0.0) -> Iterator[Any]:
        with self.books.attempt(self.path) as (kind, delay):
            if kind == "hang" or self.books.calls[self.path].host == SILENT:
                yield from Reply().hang().steps(request)
                return
            if delay:
                yield delay
            self.books.note_answer(self.path, kind)
            status, headers, body = answer_of(kind, self.path, self.elsewhere)
            reply = Reply(status, body, headers)
            if kind in ("refused", "reset"):
                # Behind a byte: before, a request on a connection used before is sent again.
                reply = reply.reset(head=1)
            yield from reply.steps(request)


class OnLoopback:
    """A network of real sockets: plain requests over it go through the relay."""

    counts_dead = False
    relayed = 0
    """Requests that were begun by the callback that ended another, over all networks."""

    def __init__(self, limits: Limits, server: LoopbackServer) -> None:
        # Limits are looked at with each sweep.
        self.books = Books(limits, is_exact=False, late=SWEEP_INTERVAL + CLOSE)
        self.options = {"trust_env": False}
        self._server = server
        self._hosts = {host: number for number, host in enumerate((*LIVE, SILENT), start=1)}
        server.on("/free/*", _free)
        server.on("/planned/*", self._plan)

    def origin(self, host: str) -> str:
        if host == DEAD:
            return self._server.dead_url().removesuffix("/")
        return self._server.url(host=self._hosts[host]).removesuffix("/")

    def name(self, host: str) -> str:
        return httpx.URL(self.origin(host)).host

    def watch(self, fetcher: Fetcher) -> None:
        client: Any = fetcher.client
        engine = client.own_transport.engine
        begin = engine.begin

        def begin_and_watch(*args: Any, **kwargs: Any) -> Any:
            exchange = begin(*args, **kwargs)
            if exchange.follow is not None:
                exchange.follow = self._counting(exchange.follow)
            return exchange

        engine.begin = begin_and_watch

    def _counting(self, follow: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def follow_and_count(exchange: Any) -> Any:
            following = follow(exchange)
            OnLoopback.relayed += following is not None
            return following

        return follow_and_count

    def _plan(self, request: RecordedRequest) -> Reply:
        return Planned(books=self.books, path=request.path, elsewhere=self.origin("c"))


def _free(request: RecordedRequest) -> Reply:
    return Reply(429) if request.path.endswith("429") else Reply(body=request.path)


@contextlib.asynccontextmanager
async def on_loopback(limits: Limits) -> AsyncIterator[Network]:
    """Open a network of real sockets."""
    async with LoopbackServer(hosts=len(LIVE) + 1) as server:
        yield OnLoopback(limits, server)


@contextlib.asynccontextmanager
async def made_up(limits: Limits) -> AsyncIterator[Network]:
    """Open a network without sockets."""
    yield MadeUp(limits)
