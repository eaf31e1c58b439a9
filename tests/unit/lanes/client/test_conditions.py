"""When the direct lane is taken, by each condition, and that httpx's result comes either way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest

import asyncbatch
from asyncbatch import Fetcher, HTTPTransport, Request
from asyncbatch.testing import FakeClock, LoopbackServer, Reply, echo
from tests.served import lanes_of

pytestmark = pytest.mark.any_loop


@pytest.fixture
def echoing(server: LoopbackServer) -> LoopbackServer:
    """Have the server tell what it was sent."""
    server.on("/*", echo)
    return server


def seen(response: Any) -> Any:
    """Return what the server saw: method, target, header fields in order, body."""
    return json.loads(response.content)


async def plainly(request: Any, **settings: Any) -> Any:
    """Return what the server sees of plain httpx."""
    options: dict[str, Any] = {"timeout": 5}
    if isinstance(request, Request):
        for name in ("method", "headers", "params", "content", "data", "json", "files", "cookies"):
            if (value := getattr(request, name)) is not None:
                options[name] = value
        if not isinstance(request.auth, type(asyncbatch.Request("x").auth)):
            options["auth"] = request.auth
        url = request.url
    else:
        url = request
    method = options.pop("method", "GET")
    async with httpx.AsyncClient(trust_env=False, **settings) as client:
        return seen(await client.request(method, url, **options))


async def fetched(request: Any, lane: str, *, times: int = 2, **settings: Any) -> Any:
    """Fetch in two batches, check which lane served them, and return what the server saw."""
    async with Fetcher(retry=None, **settings) as fetcher:
        lanes = lanes_of(fetcher)
        for _ in range(times):
            result = await fetcher.fetch(request)
            assert result.ok, result
        assert lanes == [lane] * times
        return seen(result)


DIRECT: dict[str, Callable[[str], Any]] = {
    "text": lambda url: url,
    "text with a query": lambda url: url + "?a=1&b=%20",
    "text that httpx changes": lambda url: url + "a b/../ü",
    "URL": lambda url: httpx.URL(url),
    "request": lambda url: Request(url),
    "HEAD-like method": lambda url: Request(url, "OPTIONS"),
    "auth": lambda url: Request(url, auth=("user", "pass")),
    "auth with a field of its own": lambda url: Request(
        url, auth=("user", "pass"), headers={"authorization": "Bearer t"}
    ),
    "auth switched off": lambda url: Request(url, auth=None),
    "headers": lambda url: Request(url, headers={"x-a": "1"}),
    "host header": lambda url: Request(url, headers={"host": "example.org"}),
    "params": lambda url: Request(url, params={"a": "ü"}),
    "body": lambda url: Request(url, "POST", content=b"\x00"),
    "form": lambda url: Request(url, "PUT", data={"a": "1"}),
    "json": lambda url: Request(url, "PATCH", json={"a": 1}),
    "close": lambda url: Request(url, headers={"connection": "close"}),
}


@pytest.mark.parametrize("case", DIRECT)
async def test_what_is_no_more_than_bytes_goes_directly(echoing: LoopbackServer, case: str) -> None:
    """And the server sees what plain httpx would have sent, byte for byte."""
    request = DIRECT[case](echoing.url())

    assert await fetched(request, "direct") == await plainly(request)


async def _chunks() -> Any:
    yield b"abc"


def _signed(request: Any) -> Any:
    request.headers["x-signed"] = "1"
    return request


BY_CLIENT: dict[str, Callable[[str], Any]] = {
    "auth that is not basic": lambda url: Request(url, auth=_signed),
    "user in the URL": lambda url: url.replace("http://", "http://user:pass@"),
    "extensions": lambda url: Request(url, extensions={"sni_hostname": "x"}),
    "files": lambda url: Request(
        url,
        "POST",
        files={"f": ("name.txt", b"x", "text/plain")},
        headers={"content-type": "multipart/form-data; boundary=b"},
    ),
    "streamed body": lambda url: Request(url, "POST", content=_chunks()),
}


@pytest.mark.parametrize("case", BY_CLIENT)
async def test_what_needs_more_of_httpx_goes_through_the_client(
    echoing: LoopbackServer, case: str
) -> None:
    """One request at a time: its neighbours in the batch stay where they are."""
    request = BY_CLIENT[case]

    async with Fetcher(retry=None) as fetcher:
        lanes = lanes_of(fetcher)
        results = await fetcher.fetch_many([request(echoing.url()), echoing.url()])

    assert sorted(lanes) == ["client", "direct"]
    assert seen(results[0].unwrap()) == await plainly(request(echoing.url()))


async def test_a_request_object_of_httpx_is_sent_as_httpx_sends_it(echoing: LoopbackServer) -> None:
    """It has been built already: without the headers and cookies of the client."""
    request = httpx.Request("POST", echoing.url(), headers={"x-a": "1"}, json={"a": 1})
    settings: dict[str, Any] = {"cookies": {"a": "1"}, "headers": {"x-own": "1"}}

    answer = await fetched(request, "direct", **settings)

    async with httpx.AsyncClient(trust_env=False, **settings) as client:
        assert answer == seen(await client.send(request))
    assert ["x-a", "1"] in answer["headers"]


async def _hook(_: Any) -> None:
    pass


SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "headers": ({"headers": {"x-a": "1"}}, "direct"),
    "own user agent and host": ({"headers": {"user-agent": "me", "host": "h.test"}}, "direct"),
    "base_url": ({"base_url": "http://nowhere.invalid/"}, "direct"),
    "auth": ({"auth": ("user", "pass")}, "direct"),
    "auth and a field": (
        {"auth": ("user", "pass"), "headers": {"Authorization": "Bearer t", "x": "y"}},
        "direct",
    ),
    "auth and cookies": ({"auth": ("user", "pass"), "cookies": {"a": "1"}}, "direct"),
    "auth that is not basic": ({"auth": _signed}, "client"),
    "params": ({"params": {"a": "1"}}, "direct"),
    "request hook": ({"event_hooks": {"request": [_hook]}}, "direct"),
    "response hook": ({"event_hooks": {"response": [_hook]}}, "direct"),
    "cookies": ({"cookies": {"a": "1"}}, "direct"),
    "length of all": ({"headers": {"content-length": "0"}}, "direct"),
}


@pytest.mark.parametrize("case", SETTINGS)
async def test_the_settings_of_the_client_choose_the_lane(
    echoing: LoopbackServer, case: str
) -> None:
    """For all requests, and the server sees what they ask for either way."""
    settings, lane = SETTINGS[case]

    answer = await fetched(echoing.url(), lane, **settings)

    assert answer == await plainly(echoing.url(), **settings)


async def test_a_request_for_another_protocol_is_left_to_httpcore(echoing: LoopbackServer) -> None:
    """The engine has no use for a connection that changes hands."""
    settings: dict[str, Any] = {"headers": {"upgrade": "none", "connection": "close"}}
    async with Fetcher(retry=None, **settings) as fetcher:
        lanes = lanes_of(fetcher)
        result = await fetcher.fetch(echoing.url())

    assert lanes == []
    assert seen(result.unwrap()) == await plainly(echoing.url(), **settings)


async def test_a_body_framed_in_two_ways_is_not_sent(echoing: LoopbackServer) -> None:
    """RFC 9112 §6.2; h11 sends it, and each server takes it as it likes."""
    request = Request(
        echoing.url(), "POST", content=b"abc", headers={"transfer-encoding": "chunked"}
    )
    async with Fetcher(retry=None) as fetcher:
        result = await fetcher.fetch(request)

    assert not result.ok
    assert isinstance(result.error, httpx.LocalProtocolError)
    assert result.error.request.method == "POST"
    assert result.kind == asyncbatch.FailureKind.invalid_request
    assert echoing.statistics().requests == 0


async def test_only_the_cookies_of_a_host_are_sent_to_it(echoing: LoopbackServer) -> None:
    """Directly all the same; other hosts' cookies change nothing."""
    async with Fetcher(retry=None) as fetcher:
        lanes = lanes_of(fetcher)
        fetcher.client.cookies.set("other", "1", domain="other.test")
        without = seen((await fetcher.fetch(echoing.url())).unwrap())
        fetcher.client.cookies.set("mine", "2", domain="127.0.0.1", path="/")
        with_one = seen((await fetcher.fetch(echoing.url())).unwrap())

    assert lanes == ["direct", "direct"]
    assert "cookie" not in dict(without["headers"])
    assert dict(with_one["headers"])["cookie"] == "mine=2"


async def test_a_cookie_set_in_the_middle_of_a_batch_is_sent_from_then_on(
    server: LoopbackServer,
) -> None:
    """By whatever response has set it, a failed one or one with a broken body too."""
    server.on("/echo", echo)
    server.on("/ok", Reply().with_header("set-cookie", "a=1"))
    server.on("/404", Reply(404).with_header("set-cookie", "b=2"))
    server.on("/cut", Reply(body=99).with_header("set-cookie", "c=3").cut(body=9))
    server.on("/302", Reply(302).with_header("set-cookie", "d=4"))
    server.on("/go", Reply.redirect("/echo").with_header("set-cookie", "e=5"))
    paths = ["/echo", "/ok", "/404", "/cut", "/302", "/go", "/echo"]

    async with Fetcher(retry=None, concurrency=1) as fetcher:
        lanes = lanes_of(fetcher)
        results = await fetcher.fetch_many(map(server.url, paths))

    assert lanes == ["direct"] * (len(paths) + 1)  # one has two hops
    assert "cookie" not in dict(seen(results[0])["headers"])
    sent = dict(seen(results[-1])["headers"])["cookie"]
    assert sent == "a=1; b=2; c=3; d=4; e=5"


async def test_cookies_of_a_thousand_other_hosts_are_not_walked_through(
    echoing: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jar is asked for the host's own domains, and copied by nobody."""
    async with Fetcher(retry=None) as fetcher:
        for number in range(1000):
            fetcher.client.cookies.set("a", "1", domain=f"host{number}.test")
        walks: list[str] = []
        for name in ("__iter__", "add_cookie_header", "extract_cookies", "set_cookie"):
            real = getattr(type(fetcher.client.cookies.jar), name)

            def noting(*args: Any, _real: Any = real, _name: str = name) -> Any:
                walks.append(_name)
                return _real(*args)

            monkeypatch.setattr(type(fetcher.client.cookies.jar), name, noting)
        lanes = lanes_of(fetcher)
        results = await fetcher.fetch_many([echoing.url()] * 5)

    assert results.failures == []
    assert lanes == ["direct"] * 5
    assert walks == []


async def test_cookies_of_a_name_in_another_script_are_found(echoing: LoopbackServer) -> None:
    """The jar holds them under the name as it is asked for, in ASCII."""
    async with Fetcher(retry=None, headers={"x": "y"}) as fetcher:
        fetcher.client.cookies.set("a", "1", domain="xn--bcher-kva.test")
        request = fetcher.client.build_request("GET", "http://xn--bcher-kva.test/")
        from asyncbatch._lanes.client._cookies import cookie_domains, may_match

        domains = cookie_domains(request.url.raw_host.decode("ascii"))

    assert request.headers["cookie"] == "a=1"
    assert may_match(fetcher.client.cookies.jar, domains)


async def test_headers_changed_in_the_middle_of_a_batch_are_sent_from_then_on(
    echoing: LoopbackServer,
) -> None:
    """Set, changed in place, and removed again."""
    async with Fetcher(retry=None, concurrency=1) as fetcher:
        headers = fetcher.client.headers
        changes: list[Callable[[], Any]] = [
            lambda: None,
            lambda: headers.update({"x-a": "1"}),
            lambda: headers.update({"x-a": "2"}),
            lambda: headers.pop("x-a"),
        ]

        def requests() -> Iterator[str]:
            for change in changes:  # each read when the one before has ended
                change()
                yield echoing.url()

        lanes = lanes_of(fetcher)
        results = await fetcher.fetch_many(requests())

    assert lanes == ["direct"] * 4
    sent = [dict(seen(result)["headers"]).get("x-a") for result in results]
    assert sent == [None, "1", "2", None]


async def test_changed_headers_are_sent_by_every_worker(echoing: LoopbackServer) -> None:
    """Whoever meets the change first, the others meet it as well."""
    async with Fetcher(retry=None, concurrency=4) as fetcher:

        def requests() -> Iterator[str]:
            for number in range(80):
                if number == 40:
                    fetcher.client.headers["x-a"] = "1"
                yield echoing.url()

        results = await fetcher.fetch_many(requests())

    sent = [dict(seen(result)["headers"]).get("x-a") for result in results]
    assert sent[:36] == [None] * 36
    assert sent[40:] == ["1"] * 40


@pytest.mark.parametrize(
    ("change", "lane"), [("auth", "direct"), ("signature", "client"), ("hook", "direct")]
)
async def test_what_is_set_on_the_client_in_the_middle_of_a_batch_counts(
    echoing: LoopbackServer, change: str, lane: str
) -> None:
    """Hooks, and authentication, which needs the client from then on unless it is a field only."""
    async with Fetcher(retry=None, concurrency=1) as fetcher:
        client = fetcher.client

        def requests() -> Iterator[str]:
            yield echoing.url()
            if change == "auth":
                client.auth = ("user", "pass")
            elif change == "signature":
                client.auth = _signed
            else:
                client.event_hooks["request"].append(_hook)
            yield echoing.url()

        lanes = lanes_of(fetcher)
        results = await fetcher.fetch_many(requests())

    assert lanes == ["direct", lane]
    assert ("authorization" in dict(seen(results[1])["headers"])) == (change == "auth")
    assert ("x-signed" in dict(seen(results[1])["headers"])) == (change == "signature")


async def test_a_mount_takes_its_requests_and_no_others(echoing: LoopbackServer) -> None:
    """As httpx matches them: by scheme, host and port."""
    mount = httpx.MockTransport(lambda request: httpx.Response(200, text=str(request.url)))

    async with Fetcher(retry=None, mounts={"http://mock.test": mount}) as fetcher:
        lanes = lanes_of(fetcher)
        results = await fetcher.fetch_many(["http://mock.test/a", echoing.url()])

    assert results[0].text == "http://mock.test/a"
    assert seen(results[1])["method"] == "GET"
    assert lanes == ["direct"]


async def test_a_proxy_of_the_environment_is_asked(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the hosts that are excepted there."""
    monkeypatch.setenv("HTTP_PROXY", server.url())
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with Fetcher(retry=None) as fetcher:
        lanes = lanes_of(fetcher)
        results = await fetcher.fetch_many(["http://name.invalid/a", server.url("/b")])

    assert results.failures == []
    assert {request.target for request in server.requests} == {"http://name.invalid/a", "/b"}
    assert lanes == ["direct", "direct"]


METHODS = (
    "send",
    "build_request",
    "_transport_for_url",
    "_send_handling_auth",
    "_send_single_request",
)


def _wrapped(method: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        calls.append(method.__name__)
        return method(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    "name", ["_redirect_method", "_redirect_headers", "_redirect_url", "_redirect_stream"]
)
@pytest.mark.parametrize("where", ["base", "instance"])
async def test_who_says_where_redirects_lead_is_asked(
    echoing: LoopbackServer, monkeypatch: pytest.MonkeyPatch, name: str, where: str
) -> None:
    """Httpx's private methods are replaced too, by those who know better."""
    echoing.on("/go", Reply.redirect("/"))
    calls: list[str] = []

    async with Fetcher(retry=None) as fetcher:
        place: Any = httpx.AsyncClient if where == "base" else fetcher.client
        monkeypatch.setattr(place, name, _wrapped(getattr(place, name), calls))
        during = await fetcher.fetch(echoing.url("/go"))
        monkeypatch.undo()

    assert during.ok
    assert set(calls) == {name}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("where", ["base", "class", "instance"])
async def test_who_replaces_a_method_of_the_client_is_asked(
    echoing: LoopbackServer, monkeypatch: pytest.MonkeyPatch, name: str, where: str
) -> None:
    """On httpx's class, on ours or on the client itself, between two batches of a fetcher."""
    calls: list[str] = []

    async with Fetcher(retry=None) as fetcher:
        lanes = lanes_of(fetcher)
        before = await fetcher.fetch(echoing.url())
        places = {"base": httpx.AsyncClient, "class": type(fetcher.client)}
        place: Any = places.get(where, fetcher.client)
        monkeypatch.setattr(place, name, _wrapped(getattr(place, name), calls))
        during = await fetcher.fetch(echoing.url())
        monkeypatch.undo()
        after = await fetcher.fetch(echoing.url())

    assert set(calls) == {name}
    assert lanes == ["direct", "client", "direct"]
    assert before.content == during.content == after.content


@pytest.mark.parametrize("where", ["httpx", "ours", "instance", "pool", "httpcore", "connection"])
async def test_who_replaces_a_method_below_the_client_is_asked(
    echoing: LoopbackServer, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Transport, pool or connection: httpx's, ours, or the single object."""
    import httpcore

    calls: list[str] = []
    async with Fetcher(retry=None) as fetcher:
        client: Any = fetcher.client
        lanes = lanes_of(fetcher)
        places: dict[str, Any] = {
            "httpx": httpx.AsyncHTTPTransport,
            "ours": HTTPTransport,
            "instance": client.own_transport,
            "pool": client.own_transport._pool,
            "httpcore": httpcore.AsyncConnectionPool,
            "connection": httpcore.AsyncHTTPConnection,
        }
        method = places[where].handle_async_request
        before = await fetcher.fetch(echoing.url())
        monkeypatch.setattr(places[where], "handle_async_request", _wrapped(method, calls))
        during = await fetcher.fetch(echoing.url())
        assert lanes.count("direct") == 1
        monkeypatch.undo()
        after = await fetcher.fetch(echoing.url())

    assert set(calls) == {"handle_async_request"}
    assert lanes[-1] == "direct"
    assert before.content == during.content == after.content


async def test_a_function_of_a_package_that_is_only_named_like_httpx_is_no_part_of_it(
    echoing: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Extensions of httpx often are."""
    import sys
    import types

    module = types.ModuleType("httpx_instrument")
    source = (
        "def send(self, *args, **kwargs):\n"
        "    calls.append('send')\n"
        "    return real(self, *args, **kwargs)\n"
    )
    calls: list[str] = []
    module.__dict__.update(calls=calls, real=httpx.AsyncClient.send)
    exec(source, module.__dict__)
    monkeypatch.setitem(sys.modules, "httpx_instrument", module)
    monkeypatch.setattr(httpx.AsyncClient, "send", module.send)

    await fetched(echoing.url(), "client", times=1)

    assert calls == ["send"]


async def test_a_subclass_of_a_clients_is_the_callers_own(echoing: LoopbackServer) -> None:
    """Whatever it overrides, it is asked; with our transport below it or not."""
    sent: list[str] = []

    class Client(httpx.AsyncClient):
        async def send(self, request: httpx.Request, **kwargs: Any) -> httpx.Response:
            sent.append(request.method)
            return await super().send(request, **kwargs)

    for transport in (None, HTTPTransport()):
        async with (
            Client(transport=transport, trust_env=False) as client,
            Fetcher(client, retry=None) as fetcher,
        ):
            result = await fetcher.fetch(echoing.url())

        assert result.ok

    assert sent == ["GET", "GET"]


@pytest.mark.parametrize("foreign", [httpx.AsyncHTTPTransport, HTTPTransport])
async def test_a_transport_of_the_callers_is_used(
    echoing: LoopbackServer, foreign: type[httpx.AsyncHTTPTransport]
) -> None:
    """Even one of ours: it may be wrapped, or have other settings."""

    class Counting(foreign):  # type: ignore[misc,valid-type]  # chosen at run time
        count = 0

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.count += 1
            return await super().handle_async_request(request)

    transport = Counting()
    async with Fetcher(transport=transport, retry=None) as fetcher:
        result = await fetcher.fetch(echoing.url())

    assert result.ok
    assert transport.count == 1


async def test_another_transport_put_into_the_client_is_used(echoing: LoopbackServer) -> None:
    """A private name, but tests of applications write it."""
    async with Fetcher(retry=None) as fetcher:
        client: Any = fetcher.client
        lanes = lanes_of(fetcher)
        own, client._transport = (
            client._transport,
            httpx.MockTransport(lambda _: httpx.Response(200, text="made up")),
        )
        result = await fetcher.fetch(echoing.url())
        client._transport = own

    assert result.text == "made up"
    assert lanes == []


async def test_another_pool_put_into_the_transport_is_used(echoing: LoopbackServer) -> None:
    """A private name too, by which a stock transport is given a pool of httpcore's."""
    import httpcore

    class Counting(httpcore.AsyncConnectionPool):
        count = 0

        async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
            self.count += 1
            return await super().handle_async_request(request)

    async with Fetcher(retry=None) as fetcher, Counting() as pool:
        transport: Any = fetcher.client
        transport = transport.own_transport
        before = await fetcher.fetch(echoing.url())
        own, transport._pool = transport._pool, pool
        during = await fetcher.fetch(echoing.url())
        transport._pool = own

    assert pool.count == 1
    assert before.content == during.content


async def test_http2_takes_the_lane(tls_server: LoopbackServer) -> None:
    """Also with a server that does not speak it."""
    pytest.importorskip("ngh2")
    from tests.unit.lanes.conftest import TRUSTING

    async with Fetcher(http2=True, verify=TRUSTING, retry=None) as fetcher:
        lanes = lanes_of(fetcher)
        result = await fetcher.fetch(tls_server.url())

    assert result.unwrap().http_version == "HTTP/1.1"
    assert lanes == ["direct"]


async def test_a_client_that_was_closed_refuses_in_httpxs_words(echoing: LoopbackServer) -> None:
    """Before a batch and in the middle of one."""
    has_come = anyio.Event()
    middle: list[asyncbatch.Result] = []
    async with Fetcher(retry=None) as fetcher:

        async def requests() -> AsyncIterator[str]:
            yield echoing.url()
            await has_come.wait()
            await fetcher.client.aclose()
            yield echoing.url()

        async with fetcher.stream(requests()) as results:
            async for result in results:
                middle.append(result)
                has_come.set()
        after = await fetcher.fetch(echoing.url())

    assert middle[0].ok
    for failure in (middle[1], after):
        assert not failure.ok
        assert isinstance(failure.error, RuntimeError)
        assert "client has been closed" in str(failure.error)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_virtual_clock_needs_the_client(echoing: LoopbackServer) -> None:
    """The engine's limits are kept by the real one."""
    async with Fetcher(retry=None) as fetcher:
        lanes = lanes_of(fetcher)
        with FakeClock():
            during = await fetcher.fetch(echoing.url())
        after = await fetcher.fetch(echoing.url())

    assert lanes == ["client", "direct"]
    assert during.content == after.content


async def test_the_engine_does_it_on_every_event_loop(echoing: LoopbackServer) -> None:
    """On asyncio, on uvloop and on trio."""
    async with Fetcher(retry=None) as fetcher:
        lanes = lanes_of(fetcher)
        result = await fetcher.fetch(echoing.url())

    assert seen(result.unwrap())["method"] == "GET"
    assert lanes == ["direct"]


def test_what_is_not_laid_out_as_expected_is_left_to_the_client() -> None:
    """A later httpx may have other names inside."""
    from asyncbatch._lanes.client._conditions import Conditions

    class Client:
        is_closed = False

    reason = Conditions(Client(), Client, HTTPTransport()).reason_against()

    assert reason is not None
    assert "_transport" in reason


async def test_a_mount_takes_requests_of_every_kind(echoing: LoopbackServer) -> None:
    """Also those with fields of their own, and those that a redirect leads to it."""
    mount = httpx.MockTransport(lambda request: httpx.Response(200, text=str(request.url)))
    echoing.on("/go", Reply.redirect("http://mock.test/c"))

    async with Fetcher(retry=None, mounts={"http://mock.test": mount}) as fetcher:
        lanes = lanes_of(fetcher)
        own = Request("http://mock.test/b", headers={"x-a": "1"})
        results = [await fetcher.fetch(each) for each in (own, echoing.url("/go"))]

    assert [result.text for result in results] == ["http://mock.test/b", "http://mock.test/c"]
    assert lanes == ["direct"]
