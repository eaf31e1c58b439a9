"""
The ways in which a batch can be waiting: each is a small batch that passes through many of them.

A way is given an open fetcher and the servers, and ends by itself within some milliseconds.
"""

from __future__ import annotations

import gzip
import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import anyio
import attrs
import httpx
import trustme

import asyncbatch
from asyncbatch import Fetcher, Rate, Request, Retry
from asyncbatch.testing import LoopbackServer, Reply

AUTHORITY = trustme.CA()

# Made once: it takes 20 ms.
TRUSTING = ssl.create_default_context()
AUTHORITY.configure_trust(TRUSTING)

# More than is decoded between two turns of the loop, and nothing on the wire.
LARGE = gzip.compress(b"x" * 3_000_000)

_serial = itertools.count()


@attrs.frozen
class Site:
    """Two servers in threads of their own, so that all steps of the loop are the client's."""

    plain: LoopbackServer
    tls: LoopbackServer

    def urls(self, count: int, path: str = "/", *, host: int = 1) -> list[str]:
        """Return URLs that have never been asked for."""
        return [self.plain.url(f"{path}?{next(_serial)}", host=host) for _ in range(count)]

    @property
    def open_connections(self) -> int:
        """Connections that the servers have not seen end."""
        servers = (self.plain, self.tls)
        return sum(server.statistics().open_connections for server in servers)


@contextmanager
def serve_site() -> Generator[Site]:
    """Run the servers."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    with ExitStack() as stack:
        plain = stack.enter_context(
            LoopbackServer(hosts=2, record=0, default=Reply(body=b"ok")).in_thread()
        )
        tls = stack.enter_context(
            LoopbackServer(ssl_context=context, record=0, default=Reply(body=b"ok")).in_thread()
        )
        plain.on("/leads", Reply.redirect("/there"))
        plain.on("/sets", Reply(body=b"ok").with_header("set-cookie", "a=b"))
        plain.on("/flaky", Reply(503), Reply(body=b"ok"))
        plain.on("/cut", Reply(body=b"ok").delayed(0.001), Reply(body=b"ok"))
        plain.on("/large", Reply(body=LARGE, headers={"content-encoding": "gzip"}))
        plain.on("/chunks", Reply(body=b"x" * 300_000, framing="chunked"))
        plain.dead_url(), plain.silent_url()  # both take their address when first asked for
        yield Site(plain, tls)


Way = Callable[[Fetcher, Site], Awaitable[Any]]


async def trickle(items: list[Any]) -> AsyncIterator[Any]:
    for item in items:
        await anyio.lowlevel.checkpoint()
        yield item


async def direct(fetcher: Fetcher, site: Site) -> None:
    """Plain requests: connecting, waiting for a slot, for a response, on kept connections."""
    await fetcher.fetch_many(site.urls(4) + site.urls(2, host=2))


async def single(fetcher: Fetcher, site: Site) -> None:
    """One request, without a task group."""
    await fetcher.fetch(site.urls(1, "/chunks")[0])


async def through_client(fetcher: Fetcher, site: Site) -> None:
    """Requests that take the client lane: an authentication flow, a body read piece by piece."""
    paths = ["/", "/chunks", "/"]
    await fetcher.fetch_many(
        Request(site.urls(1, path)[0], auth=("user", "secret")) for path in paths
    )


async def replayed(fetcher: Fetcher, site: Site) -> None:
    """A redirect, and a cookie: first on the engine, then through the client."""
    await fetcher.fetch_many(site.urls(1, "/leads") + site.urls(1, "/sets") + site.urls(1))


async def uploading(fetcher: Fetcher, site: Site) -> None:
    """Bodies that are produced while they are sent, one of them longer than buffers are."""
    small = Request(site.urls(1)[0], "POST", content=trickle([b"ab", b"cd"]))
    large = Request(site.urls(1)[0], "POST", content=trickle([b"x" * 1_000_000] * 3))
    await fetcher.fetch_many([small, large])


async def over_tls(fetcher: Fetcher, site: Site) -> None:
    """Handshakes, and requests on what they lead to."""
    await fetcher.fetch_many([site.tls.url("/")] * 3)


async def looking_up(fetcher: Fetcher, site: Site) -> None:
    """A name, which a thread looks up, and whose first address may refuse."""
    await fetcher.fetch_many([url.replace("127.0.0.1", "localhost") for url in site.urls(2)])


async def retrying(fetcher: Fetcher, site: Site) -> None:
    """A refusal, the pause of its host, and a second try; a host that is not there at all."""
    await fetcher.fetch_many([*site.urls(2, "/flaky"), site.plain.dead_url(), *site.urls(1)])


async def throttled(fetcher: Fetcher, site: Site) -> None:
    """Requests that wait for the rate of their host and for that over all."""
    await fetcher.fetch_many(site.urls(3) + site.urls(2, host=2))


async def timing_out(fetcher: Fetcher, site: Site) -> None:
    """Time limits of an attempt, of a request and of the whole batch."""
    await fetcher.fetch_many(
        [Request(site.plain.silent_url(), timeout=0.002), *site.urls(3)], batch_timeout=0.01
    )


async def decoding(fetcher: Fetcher, site: Site) -> None:
    """A body that is decoded in a thread."""
    await fetcher.fetch_many(site.urls(2, "/large"))


async def streaming(fetcher: Fetcher, site: Site) -> None:
    """Results that nobody has taken yet hold the batch up."""
    async with fetcher.stream(site.urls(6), backlog=1) as results:
        async for _ in results:
            await anyio.lowlevel.checkpoint()


async def streaming_in_order(fetcher: Fetcher, site: Site) -> None:
    """An input that has to be waited for, and results that wait for those before them."""
    async with fetcher.stream(trickle(site.urls(6)), ordered=True, backlog=2) as results:
        async for _ in results:
            await anyio.lowlevel.checkpoint()


async def nested(fetcher: Fetcher, site: Site) -> None:
    """A second batch inside the first one's stream."""
    async with fetcher.stream(site.urls(3)) as results:
        async for _ in results:
            await fetcher.fetch(site.urls(1)[0])


async def at_once(fetcher: Fetcher, site: Site) -> None:
    """Two batches that want the same slots."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fetcher.fetch_many, site.urls(3))
        tasks.start_soon(fetcher.fetch_many, trickle(site.urls(3, host=2)))


async def thrown_away(_: Fetcher, site: Site) -> None:
    """A fetcher of its own, which opens and closes with the batch."""
    await asyncbatch.fetch_many(site.urls(3), concurrency=2, trust_env=False)


async def on_a_stock_client(_: Fetcher, site: Site) -> None:
    """The same over a client of the caller's, on httpx's own transport."""
    async with httpx.AsyncClient(trust_env=False) as client:
        await asyncbatch.fetch_many(site.urls(2), client=client, concurrency=2)


WAYS: dict[str, tuple[Way, dict[str, Any]]] = {
    "direct": (direct, {}),
    "single": (single, {}),
    "through the client": (through_client, {}),
    "replayed": (replayed, {}),
    "uploading": (uploading, {}),
    "over TLS": (over_tls, {"verify": TRUSTING}),
    "looking up": (looking_up, {}),
    "retrying": (retrying, {"retry": Retry(backoff=0.001, attempts=2)}),
    "throttled": (throttled, {"rate": Rate(1000), "total_rate": Rate(1500)}),
    "timing out": (timing_out, {"deadline": 30.0}),
    "decoding": (decoding, {}),
    "streaming": (streaming, {}),
    "streaming in order": (streaming_in_order, {}),
    "nested": (nested, {}),
    "at once": (at_once, {"per_host": 1}),
    "thrown away": (thrown_away, {}),
}

# A native cancellation of asyncio's makes httpcore lose the socket that it is just opening
# (encode/httpcore#1093); so this one is only cut off by scopes.
STOCK: dict[str, tuple[Way, dict[str, Any]]] = {"on a stock client": (on_a_stock_client, {})}

CONCURRENCY = 2


def new_fetcher(options: dict[str, Any]) -> Fetcher:
    """Make a fetcher with few slots, so that some requests wait for one."""
    return Fetcher(concurrency=CONCURRENCY, trust_env=False, **options)
