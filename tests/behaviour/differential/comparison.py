"""Running one exchange by each way, and comparing what was seen."""

from __future__ import annotations

import functools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import ModuleType
from typing import Any

import attrs
import httpx
import trustme

import asyncbatch
from asyncbatch._engine import transport_class
from asyncbatch._engine.http11 import ExchangeError
from asyncbatch.testing import LoopbackServer, Reply
from tests.behaviour.differential import observation
from tests.behaviour.differential.exchanges import LATE, Exchange
from tests.behaviour.differential.server import script

AUTHORITY = trustme.CA()


@asynccontextmanager
async def open_places() -> AsyncIterator[Places]:
    """Run the servers that the table talks to."""
    async with open_servers() as (plain, tls):
        base, other = plain.url().removesuffix("/"), plain.url(host=2).removesuffix("/")
        yield Places((plain, tls), names_of(base, other, plain, tls), {})


@asynccontextmanager
async def open_servers() -> AsyncIterator[tuple[LoopbackServer, LoopbackServer]]:
    """Run a server without TLS, on two hosts, and one with it."""
    async with (
        LoopbackServer(hosts=2, default=Reply(body=b"ok")) as plain,
        LoopbackServer(ssl_context=server_context(), default=Reply(body=b"ok")) as tls,
    ):
        script(plain)
        script(tls)
        yield plain, tls


def server_context() -> ssl.SSLContext:
    """Return what a server speaks TLS with."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1", "127.0.0.2").configure_cert(context)
    return context


def names_of(base: str, other: str, plain: LoopbackServer, tls: LoopbackServer) -> dict[str, str]:
    """Return what stands for each name in braces; `base` and `other` are those of two origins."""
    scheme, _, authority = base.partition("://")
    return {
        "base": base,
        "other": other,
        "scheme": scheme,
        "authority": authority,
        "other_authority": other.partition("://")[2],
        "without_tls": plain.url().removeprefix("http://").removesuffix("/"),
        "tls": tls.url().removesuffix("/"),
        "dead": plain.dead_url().removesuffix("/"),
    }


def _trusting_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


# Making one takes 20 ms, which is why clients are not left to make their own.
TRUSTING = _trusting_context()
STRICT = ssl.create_default_context()


@attrs.frozen
class Places:
    """Where the exchanges go: what stands for `{base}` and so on in their URLs."""

    servers: tuple[LoopbackServer, ...]
    names: dict[str, str]
    settings: dict[str, Any]
    """Further arguments of every client."""

    def fill(self, text: str) -> str:
        """Put the real places into `text`."""
        for name, place in self.names.items():
            text = text.replace(f"{{{name}}}", place)
        return text

    def arrived(self) -> int:
        """Return how many requests have arrived at all servers so far."""
        return sum(server.statistics().requests for server in self.servers)

    def arrivals(self, count: int) -> list[Any]:
        """Return the latest `count` requests, of all servers, in order of arrival."""
        if not count:
            return []
        each = [request for server in self.servers for request in server.requests[-count:]]
        latest = sorted(each, key=lambda request: request.time)[-count:]
        return [observation.of_arrival(request) for request in latest]


Way = Callable[[str, str, bool, dict[str, Any]], Awaitable[tuple[Any, Any]]]
"""From method, URL, follow and arguments to the response and the error, one being None."""


async def plainly(
    client: Any, method: str, url: str, follow: bool, arguments: dict[str, Any]
) -> tuple[Any, Any]:
    """Send by the client itself."""
    try:
        response = await client.request(method, url, follow_redirects=follow, **arguments)
    except Exception as error:
        return None, error
    return response, None


async def by_fetcher(
    fetcher: asyncbatch.Fetcher, method: str, url: str, follow: bool, arguments: dict[str, Any]
) -> tuple[Any, Any]:
    """Send by a fetcher; what is no more than a URL is given as one."""
    request: Any = asyncbatch.Request(url, method, follow_redirects=follow, **arguments)
    if method == "GET" and not arguments and follow:
        request = url
    result = await fetcher.fetch(request)
    return result.response, None if result.ok else result


@asynccontextmanager
async def open_plainly(
    library: ModuleType, settings: dict[str, Any]
) -> AsyncIterator[tuple[Any, Way]]:
    """Use a client by itself."""
    async with library.AsyncClient(**settings) as client:
        yield client, functools.partial(plainly, client)


@asynccontextmanager
async def open_on_client(
    library: ModuleType, settings: dict[str, Any]
) -> AsyncIterator[tuple[Any, Way]]:
    """Use a fetcher on a client of the caller's: the client lane."""
    async with (
        library.AsyncClient(**{"follow_redirects": True, **settings}) as client,
        asyncbatch.Fetcher(client, retry=None) as fetcher,
    ):
        yield client, functools.partial(by_fetcher, fetcher)


@asynccontextmanager
async def open_on_engine(
    library: ModuleType, settings: dict[str, Any]
) -> AsyncIterator[tuple[Any, Way]]:
    """Use a fetcher on a client of the caller's, on our transport."""
    transport = transport_class(library)(
        verify=settings["verify"], trust_env=False, http2=settings.get("http2", False)
    )
    async with open_on_client(library, {"transport": transport, **settings}) as opened:
        yield opened


@asynccontextmanager
async def open_directly(
    library: ModuleType, settings: dict[str, Any]
) -> AsyncIterator[tuple[Any, Way]]:
    """Use a fetcher on a client of its own: the direct lane, wherever it may be taken."""
    assert library is httpx
    async with asyncbatch.Fetcher(retry=None, **settings) as fetcher:
        yield fetcher.client, functools.partial(by_fetcher, fetcher)


Seen = list[dict[str, Any]]
"""What was seen of an exchange, each time that it was sent."""

Lane = Callable[[ModuleType, dict[str, Any]], AbstractAsyncContextManager[tuple[Any, Way]]]

LANES: dict[str, Lane] = {
    "client": open_on_client,
    "engine": open_on_engine,
    "direct": open_directly,
}
"""The ways that must all end as the plain one does."""


async def compare(
    exchange: Exchange, lanes: Iterable[str], library: ModuleType, places: Places
) -> list[str]:
    """Return the differences between lanes and the plain way."""
    theirs = await observe(exchange, open_plainly, library, places)
    found: list[str] = []
    for lane in lanes:
        ours = await observe(exchange, LANES[lane], library, places)
        found += (f"{lane}: {each}" for each in _compared(exchange, lane, ours, theirs))
    return found


def _compared(exchange: Exchange, lane: str, ours: Seen, theirs: Seen) -> Iterator[str]:
    is_refused = lane != "client" and exchange.engine is not None
    end = exchange.engine if is_refused else exchange.ours
    ignore = (*exchange.ignore, *((".response", ".error", ".type") if is_refused else ()))
    found: list[str] = []
    for number, (mine, other) in enumerate(zip(ours, map(dict, theirs), strict=True)):
        if end is not None and mine["end"] != end:
            found.append(f"ends not as {end}, but as {mine}")
        del other["end"], mine["end"]
        if _is_of_the_engine(mine["raised"]) and other["error"] is not None:
            # The engine has words of its own: with the host, the port and the offending bytes.
            mine["error"]["text"] = other["error"]["text"]
        found += differences(mine, other, number)
    return (f"{exchange.name}: {each}" for each in found if not _ignored(each, ignore))


def differences(mine: dict[str, Any], other: dict[str, Any], number: int) -> Iterator[str]:
    """Yield the differences of two observations of one exchange, the `number`th."""
    errors = mine.pop("raised"), other.pop("raised")
    if not isinstance(errors[0], type(errors[1])):
        yield f".type: ours {errors[0]!r}, theirs {errors[1]!r}"
    for each in observation.differences(mine, other):
        yield f"[{number}]{each}"


def _is_of_the_engine(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ExchangeError):
        error = error.__cause__
    return error is not None


def _ignored(difference: str, places: tuple[str, ...]) -> bool:
    place = difference.partition("]")[2] if difference.startswith("[") else difference
    return place.startswith(places) if places else False


async def observe(exchange: Exchange, lane: Lane, library: ModuleType, places: Places) -> Seen:
    """Send an exchange by one way, and return what was seen each time."""
    # Longer than httpx's 5 s, for a machine that has more to do.
    own = {"verify": TRUSTING, "trust_env": False, "timeout": library.Timeout(60.0)}
    settings = {**own, **places.settings, **_made(exchange.client, library)}
    if settings["verify"] is True:
        settings["verify"] = STRICT
    if "base_url" in settings:
        settings["base_url"] = places.fill(settings["base_url"])
    seen: Seen = []
    async with lane(library, settings) as (client, way):
        for _ in range(exchange.times):
            before = places.arrived()
            arguments = _made(exchange.request, library)
            response, failure = await way(
                exchange.method, places.fill(exchange.path), exchange.follow, arguments
            )
            seen.append(_seen(response, failure))
            seen[-1]["arrivals"] = places.arrivals(places.arrived() - before)
            seen[-1]["jar"] = observation.of_jar(client.cookies)
    return seen


def _seen(response: Any, failure: Any) -> dict[str, Any]:
    error = getattr(failure, "error", failure)
    if response is not None:  # a failed status is an error of ours alone
        error = None
    return {
        "response": None if response is None else observation.of_response(response),
        "error": None if error is None else observation.of_error(error),
        "raised": error,
        "end": str(response.status_code) if response is not None else getattr(failure, "kind", ""),
    }


def _made(arguments: dict[str, Any], library: ModuleType) -> dict[str, Any]:
    return {
        name: value.make(library) if isinstance(value, LATE) else value
        for name, value in arguments.items()
    }
