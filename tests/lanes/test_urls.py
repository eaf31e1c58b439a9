"""URLs as they are given and as they are asked for, in every lane."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from asyncbatch import Fetcher, HTTPTransport, Request
from asyncbatch.testing import LoopbackServer, RecordedRequest, Reply

Word = enum.Enum("Word", {"one": "value"}, type=str)


@pytest.fixture(params=["direct", "engine", "httpx", "httpx2"])
def lane(request: pytest.FixtureRequest) -> str:
    """Return the name of a client: none for the direct lane, one on the engine, and stock ones."""
    return request.param


@pytest.fixture
async def server() -> AsyncIterator[LoopbackServer]:
    """Run a server that answers with the target it was asked for."""
    async with LoopbackServer() as server:
        server.on("/*", lambda request: Reply(body=request.target))
        yield server


def fetcher_of(lane: str, **options: Any) -> Fetcher:
    """Return a fetcher on a client of that lane, with these options of a client."""
    if lane == "direct":
        return Fetcher(trust_env=False, **options)
    library = pytest.importorskip("httpx2") if lane == "httpx2" else httpx
    if lane == "engine":
        options["transport"] = HTTPTransport()
    return Fetcher(library.AsyncClient(trust_env=False, follow_redirects=True, **options))


async def fetch(fetcher: Fetcher, *given: Any) -> list[str]:
    """Fetch and return the targets that were asked for."""
    async with fetcher:
        results = await fetcher.fetch_many(given)
        for result in results:
            if result.ok:
                assert str(result.url).endswith(result.text)
                assert str(result.response.request.url) == str(result.url)
        await fetcher.client.aclose()
    return [result.text for result in results]


async def test_blanks_around_a_url_are_no_part_of_it(lane: str, server: LoopbackServer):
    """Neither in a list of lines, one after the other, nor on a request with more to it."""
    lines = [f"{server.url(f'/{number}')}\r\n" for number in range(3)]
    given = [*lines, Request(f"\t{lines[0]} "), Request(f" {lines[0]}", "POST", content=b"x")]

    targets = await fetch(fetcher_of(lane), *given)

    assert targets == ["/0", "/1", "/2", "/0", "/0"]


async def test_a_base_url_has_blanks_around_it_too(server: LoopbackServer):
    """And so have those relative to it."""
    fetcher = fetcher_of("direct", base_url=f" {server.url('/v1')}\n")

    assert await fetch(fetcher, " a\n") == ["/v1/a"]


async def test_a_text_that_is_more_is_taken_by_its_value(lane: str, server: LoopbackServer):
    """In URL, method, query, header, cookie and form; `str` of a member of an Enum is its name."""
    page = enum.Enum("Page", {"home": server.url("/home")}, type=str)
    seen: list[RecordedRequest] = []
    server.on("/home", lambda request: seen.append(request) or Reply(body=request.target))
    request = Request(
        page.home,
        enum.Enum("Verb", {"send": "PUT"}, type=str).send,
        params={"q": Word.one, "r": [Word.one]},
        headers={"x-word": Word.one},
        cookies={"c": Word.one},
        data={"f": Word.one, "g": [Word.one]},
    )

    targets = await fetch(fetcher_of(lane), page.home, request)

    assert targets == ["/home", "/home?q=value&r=value"]
    asked = seen[1]
    assert asked.method == "PUT"
    assert asked.headers["x-word"] == "value"
    assert asked.headers["cookie"] == "c=value"
    assert asked.body == b"f=value&g=value"


@pytest.mark.parametrize(
    ("path", "params", "target"),
    [
        ("/a?page=2", {"key": "k"}, "/a?page=2&key=k"),
        ("/a?page=2", {"page": "3"}, "/a?page=2&page=3"),
        ("/a?", {"key": "k"}, "/a?key=k"),
        ("/a?b&", [("c", "d"), ("c", "e")], "/a?b&&c=d&c=e"),
        ("/a?b=c", {}, "/a?b=c"),
        ("/a?b=c", "", "/a?b=c"),
        ("/a?b=c", {"d": []}, "/a?b=c"),
        ("/a?b=%20+c", "d=e%20f", "/a?b=%20+c&d=e+f"),
        ("/a?b=\u00e9", {"\u00e9": None}, "/a?b=%C3%A9&%C3%A9="),
        ("/a?b=c#f", {"d": "e"}, "/a?b=c&d=e"),
        ("/a", httpx.QueryParams(d="e"), "/a?d=e"),
    ],
)
async def test_parameters_are_added_to_the_query_of_the_url(
    lane: str, server: LoopbackServer, path: str, params: Any, target: str
):
    """Its own query comes first; httpx would drop that. A body makes no difference."""
    url = server.url(path)
    given = [Request(url, params=params), Request(url, "POST", params=params, json=1)]
    async with fetcher_of(lane) as fetcher:
        results = await fetcher.fetch_many([*given, Request(httpx.URL(url), params=params)])
        await fetcher.client.aclose()

    assert [result.text for result in results] == [target] * 3


async def test_parameters_of_the_fetcher_are_added_to_each_query(lane: str, server: LoopbackServer):
    """Those of a request take the place of those with the same name, and come behind."""
    given = [server.url("/a?page=2"), Request(server.url("/b?page=2"), params={"key": "o", "c": 1})]

    targets = await fetch(fetcher_of(lane, params={"key": "k", "z": "y"}), *given)

    assert targets == ["/a?page=2&key=k&z=y", "/b?page=2&key=o&z=y&c=1"]


async def test_a_redirect_gets_no_parameters_again(lane: str, server: LoopbackServer):
    """Where it leads to is the server's to say."""
    server.on("/from", Reply.redirect("/to?a=b"))
    async with fetcher_of(lane, params={"key": "k"}) as fetcher:
        result = await fetcher.fetch(Request(server.url("/from?x"), params={"c": "d"}))
        await fetcher.client.aclose()

    assert result.text == "/to?a=b"
    assert [request.target for request in server.requests] == ["/from?x&key=k&c=d", "/to?a=b"]


async def test_the_query_of_a_base_url_is_that_of_all_relative_to_it(server: LoopbackServer):
    """And of no other: it may be a key."""
    base = server.url("/v1?version=3#f")
    given = ["a", "b?c=d", Request("/a", params={"e": "f"}), server.url("/other")]

    plain = await fetch(fetcher_of("direct", base_url=base), *given)
    keyed = await fetch(fetcher_of("direct", base_url=base, params={"k": "l"}), *given)

    assert plain == ["/v1/a?version=3", "/v1/b?version=3&c=d", "/v1/a?version=3&e=f", "/other"]
    assert keyed == [
        *("/v1/a?version=3&k=l", "/v1/b?version=3&c=d&k=l", "/v1/a?version=3&k=l&e=f"),
        "/other?k=l",
    ]


@pytest.mark.parametrize(
    "base", ["http://joe:S3cr3t/2@host.test", "host.test/v1", "/v1", "ftp://host.test", "http://"]
)
def test_a_base_url_that_is_none_is_refused(base: str):
    """At the call, without the password that may be in it."""
    with pytest.raises(ValueError, match="base_url") as caught:
        Fetcher(base_url=base)

    assert "S3cr3t" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
