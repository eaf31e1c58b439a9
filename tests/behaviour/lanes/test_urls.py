"""URLs as they are given and as they are asked for, in every lane."""

from __future__ import annotations

import enum
import pickle
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import trustme

from asyncbatch import Fetcher, HTTPTransport, Request
from asyncbatch.testing import LoopbackServer, RecordedRequest, Reply

pytestmark = [pytest.mark.any_loop, pytest.mark.once]

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
        options["transport"] = HTTPTransport(verify=options.pop("verify", True))
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
    (asked,) = (each for each in seen if each.method == "PUT")
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


@pytest.fixture
def names(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, anyio_backend: Any
) -> list[str]:
    """Let every name of the domain `test` be this machine, and return those that were looked up."""
    asked: list[str] = []
    lane = request.getfixturevalue("lane") if "lane" in request.fixturenames else "direct"
    system = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode("ascii") if isinstance(host, bytes) else host
        if name.rstrip(".").endswith(".test") and not _is_numeric(args, kwargs):
            asked.append(name)
            host = "127.0.0.1"
        return system(host, port, *args, **kwargs)

    if lane in ("httpx", "httpx2") and anyio_backend[1].get("use_uvloop"):
        pytest.skip("uvloop asks the system past Python")
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def _is_numeric(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    flags: int = kwargs.get("flags", args[3] if len(args) > 3 else 0)
    return bool(flags & socket.AI_NUMERICHOST)


HOSTS = {
    "xn--mnchen-3ya.test": "xn--mnchen-3ya.test",
    "xn--ls8h.test": "xn--ls8h.test",
    "XN--I-7IQ.test": "xn--i-7iq.test",
    "xn--foo_br-fua.test": "xn--foo_br-fua.test",
    "foo_bar.test": "foo_bar.test",
    "_dmarc.test": "_dmarc.test",
    "m\u00fcnchen.test": "xn--mnchen-3ya.test",
    "\U0001f4a9.test": "xn--ls8h.test",
    "i\u2764\ufe0f.test": "xn--i-7iq.test",
    "www.\u2603\u3002test": "www.xn--n3h.test",
}


async def test_a_host_that_resolves_is_asked(
    lane: str, server: LoopbackServer, names: list[str]
) -> None:
    """What is ASCII goes to the resolver as it is, whatever IDNA 2008 makes of it."""
    server.on("/from/*", lambda request: Reply.redirect(f"http://{request.path[6:]}/to"))
    urls = [f"http://{host}:{server.port}/a" for host in HOSTS]
    forms = [*urls, *(Request(url, "PUT", content=b"x") for url in urls)]
    async with fetcher_of(lane) as fetcher:
        results = await fetcher.fetch_many(forms)
        await fetcher.client.aclose()

    assert [result.text for result in results] == ["/a"] * len(forms)
    assert [result.url.raw_host.decode("ascii") for result in results] == [*HOSTS.values()] * 2
    assert [result.url.host for result in results]
    assert [result.response.request.headers["host"] for result in results] == [
        f"{host}:{server.port}" for host in HOSTS.values()
    ] * 2
    assert {*names} == {*HOSTS.values()}
    assert pickle.loads(pickle.dumps(results))[1].url == results[1].url


async def test_redirects_lead_to_and_from_such_a_host(
    server: LoopbackServer, names: list[str]
) -> None:
    """As a browser follows them; on a stock client httpx refuses."""
    there = f"http://xn--ls8h.test:{server.port}"
    server.on("/from", Reply.redirect(f"{there}/mid"))
    server.on("/mid", Reply.redirect("/last"))
    server.on("/last", Reply.redirect(server.url("/to")))
    async with Fetcher(trust_env=False) as fetcher:
        result = await fetcher.fetch(server.url("/from"))

    assert result.text == "/to"
    assert [str(response.url) for response in result.response.history] == [
        server.url("/from"),
        f"{there}/mid",
        f"{there}/last",
    ]


@pytest.mark.parametrize(
    "host", ["a\u2044b.test", "a\u2100b.test", "\u2603\u200d.test", "\u2571.test"]
)
async def test_what_reads_as_two_hosts_is_refused(host: str, names: list[str]) -> None:
    """An emoji beside it makes no difference."""
    async with Fetcher(trust_env=False, retry=None) as fetcher:
        results = await fetcher.fetch_many([f"http://{host}/", f"http://\U0001f4a9{host}/"])

    assert [result.kind for result in results] == ["invalid_request"] * 2
    assert names == []


async def test_the_dot_at_the_end_of_a_name_is_for_the_resolver_alone(
    lane: str, names: list[str]
) -> None:
    """Not for SNI and the certificate; `Host` has it, as browsers and curl send it."""
    authority = trustme.CA()
    trusting, context = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(trusting)
    authority.issue_cert("www.test").configure_cert(context)
    asked: list[str | None] = []
    context.sni_callback = lambda _, name, __: asked.append(name)
    async with LoopbackServer(ssl_context=context, default=Reply(body="x")) as server:
        server.on("/from", Reply.redirect(f"https://www.test.:{server.port}/to"))
        urls = [f"https://www.test{dot}:{server.port}/{path}" for dot in ("", ".") for path in "ab"]
        urls.append(f"https://www.test:{server.port}/from")
        async with fetcher_of(lane, verify=trusting) as fetcher:
            results = await fetcher.fetch_many([*urls, *(Request(url, "PUT") for url in urls)])
            await fetcher.client.aclose()

    assert results.failures == []
    assert {*asked} == {"www.test"}
    assert {request.headers["host"].partition(":")[0] for request in server.requests} == {
        *("www.test", "www.test.")
    }
    assert all("sni_hostname" not in each.response.request.extensions for each in results)


async def test_a_name_with_a_dot_and_one_without_are_one_host_to_limits(
    server: LoopbackServer, names: list[str]
) -> None:
    """It is one server, whose owner has to bear both."""
    async with Fetcher(trust_env=False) as fetcher:
        await fetcher.fetch_many(
            f"http://www.test{dot}:{server.port}/" for dot in ("", ".") for _ in range(3)
        )
        hosts = fetcher.statistics().hosts

    assert hosts <= 1
