"""
What is measured: the workloads, and which clients take part in each. Data only.

A client is named as in `clients.py`, with the event loop it runs on.
"""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

Loop = Literal["asyncio", "uvloop"]
Kind = Literal["rate", "makespan", "pace", "stream", "batches", "opening"]
Way = Literal[
    "plain",
    "defaults",
    "progress",
    "ordered",
    "async input",
    "rate",
    "tags",
    "deadline",
    "single",
    "cookie",
    "any cookie",
    "hook",
    "proxy",
    "sdk",
]
Mode = Literal["quick", "full"]


IN_C = ("wrk", "openssl s_time")
"""Clients without an event loop of Python."""


class Entrant(NamedTuple):
    """A client on an event loop."""

    client: str
    loop: Loop

    def __str__(self) -> str:
        return self.client if self.client in IN_C else f"{self.client} ({self.loop})"


OURS = Entrant("asyncbatch", "asyncio")
OURS_UVLOOP = Entrant("asyncbatch", "uvloop")
AIOHTTP = Entrant("aiohttp", "asyncio")
AIOHTTP_UVLOOP = Entrant("aiohttp", "uvloop")
FLOOR = Entrant("floor", "asyncio")
FLOOR_UVLOOP = Entrant("floor", "uvloop")
ENGINE = Entrant("engine", "asyncio")
ENGINE_UVLOOP = Entrant("engine", "uvloop")
HTTPX = Entrant("httpx", "asyncio")
HTTPX2 = Entrant("httpx2", "asyncio")
NIQUESTS = Entrant("niquests", "asyncio")
HTTPX_ON_ENGINE = Entrant("httpx on HTTPTransport", "asyncio")
CLIENT_LANE = Entrant("asyncbatch over httpx", "asyncio")
CLIENT_LANE_ON_ENGINE = Entrant("asyncbatch over httpx on HTTPTransport", "asyncio")
PYREQWEST = Entrant("pyreqwest", "uvloop")
WREQ = Entrant("wreq", "uvloop")
PYQWEST = Entrant("pyqwest", "uvloop")
WRK = Entrant("wrk", "asyncio")
S_TIME = Entrant("openssl s_time", "asyncio")
RUST = (PYREQWEST, WREQ, PYQWEST)
SDK_ON_ENGINE = Entrant("openai on HTTPTransport", "asyncio")
SDK = Entrant("openai", "asyncio")
SDK_ON_AIOHTTP = Entrant("openai on aiohttp", "asyncio")

_PEERS = (
    AIOHTTP,
    AIOHTTP_UVLOOP,
    HTTPX,
    HTTPX2,
    Entrant("httpx-aiohttp", "asyncio"),
    *RUST,
    NIQUESTS,
    Entrant("curl_cffi", "asyncio"),
)
_OURS = (OURS, OURS_UVLOOP)
_FAST = (*_OURS, AIOHTTP, AIOHTTP_UVLOOP, PYREQWEST, WREQ)

_JSON = b'{"hello":"world"}'
_PATTERN = bytes(range(32, 127)) * 11
_RECORDS = json.dumps(
    [
        {"id": n, "name": f"item {n}", "tags": ["a", "b"], "price": n * 0.37, "stock": n % 7}
        for n in range(300)
    ]
).encode()


def _content(size: int) -> bytes:
    return (_PATTERN * (size // len(_PATTERN) + 1))[:size]


@dataclass(frozen=True)
class Resource:
    """Something that nginx serves, and what a client must make of it."""

    path: str
    content: bytes
    """The decoded body."""
    gzipped: bool = False
    closes: bool = False
    """The server closes the connection after it."""
    redirects_to: str | None = None
    """The path of what is served in the end, of a redirect."""
    sets_cookie: str | None = None
    """The value of Set-Cookie."""
    wants_cookie: tuple[str, str] | None = None
    """The cookie without which it is refused."""

    @property
    def hops(self) -> int:
        """Requests that it takes to have it."""
        return 1 if self.redirects_to is None else 2

    @property
    def encoded(self) -> bytes:
        """The body as it travels."""
        return gzip.compress(self.content, mtime=0) if self.gzipped else self.content


COOKIE = ("session", "0123456789abcdef")
"""A cookie that the jar of a client has, and a resource may ask for."""

GREETING = "Hello."
"""What the model of an SDK says."""

_COMPLETION = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "model",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": GREETING},
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }
).encode()

RESOURCES = {
    "json": Resource("/json", _JSON),
    "close": Resource("/close", _JSON, closes=True),
    "1 KB": Resource("/1k", _content(1_000)),
    "100 KB": Resource("/100k", _content(100_000)),
    "10 MB": Resource("/10m", _content(10_000_000)),
    "gzip": Resource("/gzip", _RECORDS, gzipped=True),
    "redirect": Resource("/redirect", _JSON, redirects_to="/json"),
    "sets a cookie": Resource("/sets-cookie", _JSON, sets_cookie="visit=1; Path=/sets-cookie"),
    "completion": Resource("/v1/chat/completions", _COMPLETION),
    "wants a cookie": Resource("/wants-cookie", _JSON, wants_cookie=COOKIE),
}


POSTED = {"id": 7, "name": "item 7", "tags": ["a", "b"], "price": 2.59}
"""What is posted, as JSON."""


@dataclass(frozen=True)
class Workload:
    """One row of the report."""

    name: str
    title: str
    entrants: tuple[Entrant, ...]
    resource: str = "json"
    connections: int = 100
    tls: bool = False
    http2: bool = False
    """Over HTTP/2, which takes TLS; `connections` is how many requests are in flight then."""
    kind: Kind = "rate"
    """
    `rate`: requests for some seconds, and their cost. `batches`: as many batches of a fixed size as
    it takes for about that time. `makespan`: a fixed number against a slow server, and how long all
    of them took over the least possible. `pace`: a fixed number against a server that answers after
    about `latency`, on connections that are open, so that all clients take the same time. `stream`:
    a fixed number through `Fetcher.stream`, with the memory on the way. `opening`: a batch of as
    many requests as there are slots, on connections that are open, against a server that answers
    after `latency`; from the call of `fetch_many` until all of them have been sent.
    """
    way: Way = "plain"
    """How the clients are used: see `_options` in ours.py, and `aiohttp_client`."""
    count: int | None = None
    """Requests, where their number is fixed."""
    hosts: int | None = 1
    """How many hosts are asked in turn, all of them nginx's; None: each request asks a new one."""
    repeats: int = 1
    """How many times that number, one after the other."""
    latency: float = 0.05
    """Seconds after which the slow server answers."""
    per_host: int | None = None
    posts: bool = False
    """Whether each request posts `POSTED` with a header field of its own."""
    in_quick: bool = False
    """Whether the quick mode measures it."""
    on_demand: bool = False
    """Measured only where asked for by name."""

    @property
    def is_large(self) -> bool:
        """Whether bytes per second tell more than time per request."""
        return len(RESOURCES[self.resource].content) >= 100_000


@dataclass(frozen=True)
class SlowHost:
    """A host that answers each request after so many seconds."""

    address: str
    seconds: float
    count: int


# From 5 ms to 0.5 s, each 1.27 times slower than the one before.
SLOW_HOSTS = tuple(SlowHost(f"127.0.0.{n + 1}", 0.005 * 100 ** (n / 19), 60) for n in range(20))


def plan_of(workload: Workload) -> list[SlowHost]:
    """Return the hosts of a makespan, with what is asked of each."""
    if workload.per_host is not None:
        return list(SLOW_HOSTS)
    assert workload.count is not None
    return [SlowHost("127.0.0.1", workload.latency, workload.count)]


def ideal_makespan(workload: Workload) -> float:
    """Return the least seconds that a makespan can take: all slots busy, or the slowest host."""
    hosts = plan_of(workload)
    work = sum(host.count * host.seconds for host in hosts) / workload.connections
    cap = workload.per_host or workload.connections
    return max(work, *(host.count * host.seconds / cap for host in hosts))


def slow_urls(workload: Workload, port: int) -> list[str]:
    """Return the URLs of a makespan, the hosts' mixed in the same way each time."""
    scheme = "https" if workload.tls else "http"
    urls = [
        f"{scheme}://{host.address}:{port}/{host.seconds:.4f}?{n}"
        for host in plan_of(workload)
        for n in range(host.count)
    ]
    random.Random(0).shuffle(urls)
    return urls


def paced_urls(workload: Workload, port: int) -> list[str]:
    """
    Return the URLs of a pace, with latencies from half to one and a half times the workload's.

    With one latency for all, the answers to what was sent together come together from the server
    and one by one through a proxy, and the client wakes up once or many times for them.
    """
    assert workload.count is not None
    scheme = "https" if workload.tls else "http"
    draw = random.Random(0)
    latencies = [workload.latency * draw.uniform(0.5, 1.5) for _ in range(workload.count)]
    return [f"{scheme}://127.0.0.1:{port}/{each:.4f}?{n}" for n, each in enumerate(latencies)]


def numbered(url: str, count: int) -> Iterator[str]:
    """Yield `count` different URLs of one resource: no client can remember the last one."""
    return (f"{url}?{n}" for n in range(count))


_LOOPBACK = "//127.0.0.1:"
_new_hosts = itertools.count()


def asked(workload: Workload, url: str, count: int) -> Iterator[str]:
    """Yield `count` different URLs of one resource, over as many hosts as the workload has."""
    hosts = workload.hosts
    if hosts == 1:
        yield from numbered(url, count)
        return
    for n in range(count):
        host = next(_new_hosts) if hosts is None else n % hosts
        yield f"{url.replace(_LOOPBACK, f'//{address(host)}:')}?{n}"


def address(number: int) -> str:
    """Return one of some millions of addresses of this machine, none of them 127.0.0.1."""
    return f"127.{1 + number // 62_500 % 200}.{number // 250 % 250}.{1 + number % 250}"


_HEADLINE_ENTRANTS = (OURS, AIOHTTP)
_WITH_RUST = (*_HEADLINE_ENTRANTS, OURS_UVLOOP, PYREQWEST)

WAYS = (
    Workload("defaults", "all options at their defaults", _HEADLINE_ENTRANTS, way="defaults"),
    Workload("progress", "`progress=True`", _HEADLINE_ENTRANTS, way="progress"),
    Workload("ordered", "`stream(ordered=True)`", _HEADLINE_ENTRANTS, way="ordered"),
    Workload("async input", "an async iterator as input", _HEADLINE_ENTRANTS, way="async input"),
    Workload("per_host", "`per_host=100`", _HEADLINE_ENTRANTS, per_host=100),
    Workload("rate", "a rate that is never reached", _HEADLINE_ENTRANTS, way="rate"),
    Workload("tags", "a `Request` with a tag for each URL", _HEADLINE_ENTRANTS, way="tags"),
    Workload("deadline", "`deadline=30`", _WITH_RUST, way="deadline"),
    Workload("single fetches", "single `fetch` calls of 100 tasks", _WITH_RUST, way="single"),
    Workload("one redirect", "a redirect to 17-byte JSON", _WITH_RUST, resource="redirect"),
    Workload(
        "set-cookie",
        "17-byte JSON that sets a cookie",
        _WITH_RUST,
        resource="sets a cookie",
        way="any cookie",
    ),
    Workload(
        "cookie",
        "17-byte JSON for a cookie from the jar",
        _WITH_RUST,
        resource="wants a cookie",
        way="cookie",
    ),
    Workload("hook", "a response hook", _WITH_RUST, way="hook"),
    Workload("proxy", "through a forward proxy (squid)", _WITH_RUST, way="proxy"),
)
"""Ordinary ways of use, each beside aiohttp used for the same thing."""

PACES = tuple(
    Workload(
        name,
        f"{title}, a server that answers after 10 to 30 ms, 40 connections",
        _WITH_RUST,
        kind="pace",
        connections=40,
        count=4_000,
        latency=0.02,
        tls=tls,
        way=way,
    )
    for name, title, tls, way in (
        ("pace", "plain", False, "plain"),
        ("pace, forward proxy", "through a forward proxy (squid)", False, "proxy"),
        ("pace, TLS", "TLS", True, "plain"),
        ("pace, tunnel", "TLS through a tunnel (squid)", True, "proxy"),
    )
)
"""
At the same pace, so that what a proxy costs the client shows in its CPU time.

2,000 requests a second are a pace that squid keeps up with on a core of its own.
"""

ORDINARY = (
    *("defaults", "progress", "ordered", "TLS", "async input", "per_host", "rate", "tags"),
    *("deadline", "500 hosts", "single fetches", "POST", "gzip", "one redirect", "set-cookie"),
    *("cookie", "hook", "proxy", "100 KB"),
)
"""The names of all ordinary ways of use, whose CPU time is compared with aiohttp's."""

WORKLOADS = (
    Workload(
        "headline",
        "17-byte JSON, 100 connections",
        (
            *_OURS,
            FLOOR,
            FLOOR_UVLOOP,
            ENGINE,
            ENGINE_UVLOOP,
            HTTPX_ON_ENGINE,
            *_PEERS,
            WRK,
        ),
        in_quick=True,
    ),
    Workload("10 connections", "17-byte JSON, 10 connections", (*_FAST, WRK), connections=10),
    Workload(
        "1,000 connections", "17-byte JSON, 1,000 connections", (*_FAST, WRK), connections=1_000
    ),
    Workload(
        "2,000 connections", "17-byte JSON, 2,000 connections", (*_FAST, WRK), connections=2_000
    ),
    Workload("1 KB", "1 KB bodies", (*_FAST, WRK), resource="1 KB"),
    Workload("100 KB", "100 KB bodies", (*_FAST, WRK), resource="100 KB", connections=50),
    Workload("10 MB", "10 MB bodies", (*_FAST, HTTPX), resource="10 MB", connections=4),
    Workload("gzip", "gzipped JSON of 24 KB", (*_FAST, HTTPX), resource="gzip"),
    Workload(
        "POST",
        "17-byte JSON in answer to posted JSON, each request with a header field of its own",
        (*_OURS, AIOHTTP, AIOHTTP_UVLOOP, PYREQWEST, HTTPX),
        posts=True,
    ),
    Workload(
        "new connections",
        "a new connection for each request",
        (*_FAST, FLOOR, FLOOR_UVLOOP),
        resource="close",
        in_quick=True,
    ),
    Workload(
        "new TLS connections",
        "a new TLS connection for each request",
        (*_FAST, FLOOR, FLOOR_UVLOOP, S_TIME),
        resource="close",
        tls=True,
    ),
    Workload(
        "500 hosts",
        "17-byte JSON, 500 hosts in turn",
        _FAST,
        hosts=500,
        in_quick=True,
    ),
    Workload(
        "distinct hosts",
        "17-byte JSON, each request to a host of its own",
        _FAST,
        hosts=None,
        in_quick=True,
    ),
    Workload("TLS", "17-byte JSON over TLS", (*_FAST, HTTPX, WRK), tls=True),
    Workload(
        "HTTP/2",
        "17-byte JSON over HTTP/2, 100 requests at a time",
        (*_OURS, HTTPX2, *RUST, NIQUESTS),
        tls=True,
        http2=True,
    ),
    # With 100 connections httpx takes 1.5 ms at one time and 8 at another: its pool looks at every
    # connection for every request, and how often depends on how many responses come at once.
    Workload(
        "client lane",
        "the client lane and a bare loop over the same httpx client, 10 connections",
        (CLIENT_LANE, HTTPX),
        connections=10,
        in_quick=True,
    ),
    Workload(
        "client lane, 100 connections",
        "the client lane and a bare loop over the same httpx client, 100 connections",
        (CLIENT_LANE, HTTPX),
    ),
    # Whatever makes the direct lane stand aside comes here: hooks and instruments of other
    # libraries, authentication of the caller's own, a client of the caller's.
    Workload(
        "client lane on our transport",
        "the client lane and a bare loop over the same httpx client on our transport, "
        "10 connections",
        (CLIENT_LANE_ON_ENGINE, HTTPX_ON_ENGINE),
        connections=10,
        in_quick=True,
    ),
    Workload(
        "latency",
        "a server that answers after 50 ms",
        (OURS, AIOHTTP, HTTPX),
        kind="makespan",
        count=2_000,
    ),
    Workload(
        "unequal hosts",
        "20 hosts that answer after 5 to 500 ms, 10 requests at a time on each",
        (OURS, OURS_UVLOOP, AIOHTTP),
        kind="makespan",
        per_host=10,
    ),
    Workload(
        "stream 10k",
        "10,000 requests streamed",
        _OURS,
        kind="stream",
        count=10_000,
        repeats=5,
        in_quick=True,
    ),
    *WAYS,
    *PACES,
    Workload(
        "SDK calls",
        "calls of an SDK (openai), 100 at once",
        (SDK_ON_ENGINE, SDK, SDK_ON_AIOHTTP),
        resource="completion",
        way="sdk",
    ),
    Workload(
        "SDK calls, 500 at once",
        "calls of an SDK (openai), 500 at once",
        (SDK_ON_ENGINE, SDK, SDK_ON_AIOHTTP),
        resource="completion",
        way="sdk",
        connections=500,
    ),
    Workload("batches of 200", "batches of 200", _WITH_RUST, kind="batches", count=200),
    Workload("batches of 20,000", "batches of 20,000", _WITH_RUST, kind="batches", count=20_000),
    Workload(
        "2,000 slots",
        "2,000 requests begun at once, each on a connection that is open",
        _OURS,
        kind="opening",
        connections=2_000,
        repeats=5,
        latency=1.0,
    ),
    Workload("stream 100k", "100,000 requests streamed", _OURS, kind="stream", count=100_000),
    Workload(
        "stream 1M",
        "1,000,000 requests streamed",
        _OURS,
        kind="stream",
        count=1_000_000,
        on_demand=True,
    ),
)

BY_NAME = {workload.name: workload for workload in WORKLOADS}
