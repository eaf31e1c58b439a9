"""Running one exchange by each way, and comparing what was seen."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import attrs
import trustme

import asyncbatch
from asyncbatch.testing import LoopbackServer
from tests.differential import observation
from tests.differential.exchanges import LATE, Exchange
from tests.differential.server import script

AUTHORITY = trustme.CA()


@asynccontextmanager
async def open_places() -> AsyncIterator[Places]:
    """Run the servers that the table talks to."""
    async with (
        LoopbackServer(hosts=2) as plain,
        LoopbackServer(ssl_context=_server_context()) as tls,
    ):
        script(plain)
        script(tls)
        yield Places(plain, tls)


def _server_context() -> ssl.SSLContext:
    """Return what the TLS server speaks with."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    return context


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

    plain: LoopbackServer
    tls: LoopbackServer

    def fill(self, text: str) -> str:
        """Put the real places into `text`."""
        base, other = self.plain.url().removesuffix("/"), self.plain.url(host=2).removesuffix("/")
        return (
            text.replace("{base}", base)
            .replace("{other}", other)
            .replace("{authority}", base.removeprefix("http://"))
            .replace("{other_authority}", other.removeprefix("http://"))
            .replace("{tls}", self.tls.url().removesuffix("/"))
            .replace("{dead}", self.plain.dead_url().removesuffix("/"))
        )

    def arrived(self) -> int:
        """Return how many requests have arrived at both servers so far."""
        return self.plain.statistics().requests + self.tls.statistics().requests

    def arrivals(self, count: int) -> list[Any]:
        """Return the latest `count` requests, of both servers, in order of arrival."""
        if not count:
            return []
        both = [*self.plain.requests[-count:], *self.tls.requests[-count:]]
        latest = sorted(both, key=lambda request: request.time)[-count:]
        return [observation.of_arrival(request) for request in latest]


Way = Callable[[Any, str, str, bool, dict[str, Any]], Awaitable[tuple[Any, Any]]]
"""From client, method, URL, follow and arguments to the response and the error, one being None."""


async def plainly(
    client: Any, method: str, url: str, follow: bool, arguments: dict[str, Any]
) -> tuple[Any, Any]:
    """Send by the client itself."""
    try:
        response = await client.request(method, url, follow_redirects=follow, **arguments)
    except Exception as error:
        return None, error
    return response, None


async def by_client_lane(
    client: Any, method: str, url: str, follow: bool, arguments: dict[str, Any]
) -> tuple[Any, Any]:
    """Send by a fetcher on the client."""
    request = asyncbatch.Request(url, method, follow_redirects=follow, **arguments)
    async with asyncbatch.Fetcher(client, retry=None) as fetcher:
        result = await fetcher.fetch(request)
    response = None if result.ok else result
    return result.response, response


LANES: dict[str, Way] = {"client": by_client_lane}
"""The ways that must all end as the plain one does."""


async def compare(exchange: Exchange, way: Way, library: ModuleType, places: Places) -> list[str]:
    """Return the differences between `way` and the plain one."""
    theirs = await _observe(exchange, plainly, library, places)
    ours = await _observe(exchange, way, library, places)
    found: list[str] = []
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        if exchange.ours is not None and mine.pop("end") != exchange.ours:
            found.append(f"ends not as {exchange.ours}, but as {mine}")
        other.pop("end"), mine.pop("end", None)
        errors = mine.pop("raised"), other.pop("raised")
        if not isinstance(errors[0], type(errors[1])):
            found.append(f".type: ours {errors[0]!r}, theirs {errors[1]!r}")
        found += [f"[{number}]{each}" for each in observation.differences(mine, other)]
    return [f"{exchange.name}: {each}" for each in found if not _ignored(each, exchange.ignore)]


def _ignored(difference: str, places: tuple[str, ...]) -> bool:
    place = difference.partition("]")[2] if difference.startswith("[") else difference
    return place.startswith(places) if places else False


async def _observe(
    exchange: Exchange, way: Way, library: ModuleType, places: Places
) -> list[dict[str, Any]]:
    settings = {"verify": TRUSTING, "trust_env": False, **_made(exchange.client, library)}
    if settings["verify"] is True:
        settings["verify"] = STRICT
    if "base_url" in settings:
        settings["base_url"] = places.fill(settings["base_url"])
    seen: list[dict[str, Any]] = []
    async with library.AsyncClient(**settings) as client:
        for _ in range(exchange.times):
            before = places.arrived()
            arguments = _made(exchange.request, library)
            response, failure = await way(
                client, exchange.method, places.fill(exchange.path), exchange.follow, arguments
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
