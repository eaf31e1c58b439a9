"""Requests put together without httpx: the same to the byte, or left to httpx."""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterator
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from asyncbatch import Fetcher, Request
from asyncbatch._lanes import binding_of
from asyncbatch._lanes.client._own_client import OwnClient
from asyncbatch._lanes.request._encode import RequestEncoder
from asyncbatch._lanes.request._json_body import description_of, json_encoder
from asyncbatch._values._request import UNSET
from asyncbatch._values._timeouts import TimeLimits
from asyncbatch.testing import LoopbackServer, RecordedRequest, Reply
from tests.served import prepared_by

LIMITS = TimeLimits(total=30, connect=10)
CLIENTS: dict[str, dict[str, str]] = {
    "own agent": {"User-Agent": "me", "x-own": "1"},
    "json": {"content-type": "application/x", "accept": "a/b"},
    "closing": {"connection": "close"},
    "host": {"host": "h.test"},
    "empty": {"x-empty": ""},
    "length": {"content-length": "0"},
    "authorized": {"x-own": "1"},
    "authorized twice": {"authorization": "Bearer t"},
    "parameters": {"x-own": "1"},
}


@functools.cache
def encoder(kind: str) -> tuple[OwnClient, RequestEncoder]:
    """Return a client that is never opened, and what prepares requests for its engine."""
    auth = ("me", "secret") if kind.startswith("authorized") else None
    params = {"a": "c l", "é": ["1", "2"]} if kind == "parameters" else None
    client = OwnClient(headers=CLIENTS[kind], auth=auth, params=params, trust_env=False)
    ours = RequestEncoder(client, binding_of(client), client.own_transport)
    prepared_by(ours, "http://known.test/", LIMITS)
    return client, ours


NAMES = st.one_of(
    st.sampled_from(
        ["User-Agent", "x-own", "ACCEPT", "Content-Type", "authorization", "Host", "Connection"]
    ),
    st.sampled_from(["Content-Length", "Transfer-Encoding", "Cookie", "Expect", "X-A", "x-a"]),
    st.text("aB-_ :\r\n\0é", max_size=4),
)
VALUES = st.one_of(st.sampled_from(["", "3", "chunked", "close", "a/b; c=d"]), st.text(max_size=8))
HEADERS = st.one_of(st.none(), st.dictionaries(NAMES, VALUES, max_size=4))
PARAMS = st.one_of(
    st.none(),
    st.dictionaries(
        st.text(max_size=5),
        st.one_of(st.text(max_size=6), st.integers(), st.booleans(), st.none(), st.floats()),
        max_size=3,
    ),
    st.dictionaries(st.text(max_size=3), st.lists(st.text(max_size=3), max_size=3), max_size=2),
    st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=3),
    st.text(max_size=8),
)
JSON = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=True), st.text(max_size=6)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
BODIES = st.one_of(
    st.just({}),
    st.builds(lambda value: {"json": value}, JSON),
    st.builds(lambda value: {"content": value}, st.one_of(st.binary(max_size=9), st.text())),
    st.builds(
        lambda value: {"data": value},
        st.dictionaries(
            st.text(max_size=4),
            st.one_of(st.text(max_size=4), st.integers(), st.lists(st.text(max_size=3))),
            max_size=3,
        ),
    ),
    st.just({"json": {"a": 1}, "data": {"b": "c"}}),
)
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "post", "X"])
URLS = st.sampled_from(
    [
        *("http://a.test/", "http://a.test", "https://b.test:8443/x/y", "http://a.test/x?y=z"),
        *("http://a.test/#f", "http://A.test/", "http://a.test/%20", "http://a.test/é"),
        *("http://a.test/x?", "http://a.test?y", "http://a.test/x?y=%20&&", "http://a.test/x?é"),
        *(" http://a.test/x\n", "http://a.test/x?y=z \r\n"),
    ]
)


AUTHS = st.sampled_from([UNSET, UNSET, None, ("a", "b"), httpx.BasicAuth("é", b"\xff")])


@given(st.sampled_from(sorted(CLIENTS)), URLS, METHODS, HEADERS, PARAMS, BODIES, AUTHS)
@settings(max_examples=250, deadline=None)
@example("own agent", "http://a.test/", "GET", {"x-own": "2", "X-Own": "3"}, None, {}, UNSET)
@example("own agent", "http://a.test/", "POST", None, None, {}, UNSET)
@example("own agent", "http://a.test/", "POST", None, None, {"content": b""}, UNSET)
@example("length", "http://a.test/", "POST", None, None, {}, UNSET)
@example("length", "http://a.test/", "POST", None, None, {"json": {"a": 1}}, UNSET)
@example("own agent", "http://a.test/", "GET", {"x": "a\r\nb: c"}, None, {}, UNSET)
@example("own agent", "http://a.test/", "GET", {"x": " a"}, None, {}, UNSET)
@example("json", "http://a.test/", "POST", None, None, {"json": {"a": 1}}, UNSET)
@example("json", "http://a.test/", "POST", {"Content-Type": "b/c"}, None, {"json": None}, UNSET)
@example("own agent", "http://a.test", "GET", None, {"a b": "c&d", "e": "é"}, {}, UNSET)
@example("own agent", "http://a.test/x?y=z", "GET", None, {"a": "b"}, {}, UNSET)
@example("parameters", "http://a.test/x?y=z", "GET", None, None, {}, UNSET)
@example("parameters", "http://a.test/x?y=z", "GET", None, {"a": "b", "d": [1, 2]}, {}, UNSET)
@example("parameters", "http://a.test/", "GET", None, {"a": []}, {}, UNSET)
@example("parameters", "http://a.test/x?", "POST", None, {}, {"json": 1}, UNSET)
@example("parameters", "http://a.test/x#f", "GET", None, {"a": None}, {}, UNSET)
def test_a_request_is_sent_as_httpx_would_send_it(
    kind: str, url: str, method: str, headers: Any, params: Any, body: dict[str, Any], auth: Any
) -> None:
    """To the byte, with the same request to see; or it is refused where httpx refuses it."""
    client, ours = encoder(kind)
    request = Request(url, method, headers=headers, params=params, auth=auth, **body)
    try:
        prepared = prepared_by(ours, request, LIMITS)
    except Exception:
        return  # as it is built, so httpx has said so, or we have looked at what it has built
    assume(prepared is not None)
    assert prepared is not None

    given = {} if params is None else {"params": params}
    native = client.build_request(method, url.strip(), headers=headers, **given, **body)
    # httpx would put them in the place of the URL's own query.
    if client.params or str(httpx.QueryParams(params)):
        parts = [httpx.URL(url.strip()).query, native.url.query]
        native.url = native.url.copy_with(query=b"&".join(filter(None, parts)))
    elif given:
        native.url = httpx.URL(url.strip())
    flow = client._build_request_auth(native, httpx.USE_CLIENT_DEFAULT if auth is UNSET else auth)
    native = next(flow.sync_auth_flow(native))
    lines = [b"%b: %b" % field for field in native.headers.raw]
    line = b"%b %b HTTP/1.1" % (native.method.encode(), native.url.raw_path)
    host = [each for each in lines if each.lower().startswith(b"host:")]
    others = [each for each in lines if each not in host]
    assert prepared.payload == b"\r\n".join([line, *host, *others, b"", b""])
    assert prepared.body == (native.content or None)
    assert int(native.headers.get("content-length", 0)) == len(native.content)
    shown = prepared.native()
    assert (shown.method, shown.url) == (native.method, native.url)
    assert shown.content == native.content
    assert type(shown.stream) is type(native.stream)
    assert sorted(shown.headers.raw) == sorted(native.headers.raw)


COMPOSED: dict[str, dict[str, Any]] = {
    "headers": {"headers": {"x-a": "1", "User-Agent": "you", "authorization": "Bearer t"}},
    "json": {"method": "POST", "json": {"a": [1, None, "é"]}},
    "form": {"method": "POST", "data": {"a": "b c", "d": ["1", "2"]}},
    "content": {"method": "PUT", "content": b"abc"},
    "text": {"method": "PATCH", "content": "é"},
    "no body": {"method": "DELETE"},
    "empty body": {"method": "POST"},
    "parameters": {"params": {"a": "b c", "d": 1, "e": None, "f": True, "g": ["1", "2"]}},
    "auth": {"auth": ("user", "pass"), "method": "POST", "json": {"a": 1}},
    "redirects": {"headers": {"x": "y"}, "follow_redirects": False},
}


@pytest.mark.parametrize("kind", COMPOSED)
def test_httpx_builds_nothing_that_nobody_looks_at(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the first time nor later; and once when somebody looks."""
    _, ours = encoder("own agent")
    built: list[Any] = []
    real = httpx.Request.__init__

    def noting(self: Any, *args: Any, **kwargs: Any) -> None:
        built.append(args)
        real(self, *args, **kwargs)

    monkeypatch.setattr(httpx.Request, "__init__", noting)
    prepared = prepared_by(ours, Request("http://known.test/x", **COMPOSED[kind]), LIMITS)

    assert prepared is not None
    assert built == []
    assert prepared.native() is prepared.native()
    assert len(built) == 1


@pytest.fixture
async def server() -> AsyncIterator[LoopbackServer]:
    """Run a server that says what it was asked."""

    def tell(request: RecordedRequest) -> Reply:
        line = f"{request.method} {request.target}".encode()
        fields = [b"%b: %b" % field for field in request.raw_headers]
        return Reply(body=b"\n".join([line, *fields, request.body]))

    async with LoopbackServer(default=tell) as server:
        yield server


@pytest.mark.parametrize("kind", COMPOSED)
async def test_the_server_sees_what_httpx_would_send(server: LoopbackServer, kind: str) -> None:
    """On the network as well, and so do those who look at the response's request."""
    url = server.url("/x")
    async with Fetcher(retry=None, trust_env=False) as fetcher, httpx.AsyncClient() as plain:
        result = await fetcher.fetch(Request(url, tag="t", **COMPOSED[kind]))
        plain.headers = fetcher.client.headers
        options = {**COMPOSED[kind]}
        expected = await plain.request(options.pop("method", "GET"), url, **options)

    assert result.text == expected.text
    response = result.unwrap()
    assert response.request.content == expected.request.content
    assert response.request.headers.raw == expected.request.headers.raw
    assert response.request.url == result.url == expected.request.url
    assert result.request.tag == "t"


async def test_what_changes_after_sending_does_not_change_what_was_sent(
    server: LoopbackServer,
) -> None:
    """Headers and parameters in a dictionary that is used again and again."""
    params: dict[str, str] = {}
    headers: dict[str, str] = {}

    def requests() -> Any:
        for number in range(5):
            params["page"] = headers["x-page"] = str(number)
            yield Request(server.url("/x"), params=params, headers=headers)

    async with Fetcher(concurrency=1, retry=None, trust_env=False) as fetcher:
        results = await fetcher.fetch_many(requests())

    for number, result in enumerate(results):
        assert f"x-page: {number}" in result.text
        assert result.url is not None
        assert result.url.query == f"page={number}".encode()
        assert result.unwrap().request.headers["x-page"] == str(number)


class Odd:
    """No value of JSON."""


VALUES_OF_ALL_KINDS = st.one_of(
    JSON,
    st.sampled_from(
        [
            *(float("nan"), float("inf"), 10**30, "\ud800", "\u2028é", {1: "a", None: 2, 0.5: 3}),
            *({(1, 2): 3}, {1, 2}, b"a", Odd(), [Odd()], (1, (2,)), -0.0, 1e300, 5e-324),
        ]
    ),
)


def encoded_or_error(encode: Any, value: Any) -> Any:
    """Return what a function makes of a value, or the type of its error."""
    try:
        return encode(value)
    except Exception as error:
        return type(error)


@given(VALUES_OF_ALL_KINDS)
def test_json_is_encoded_as_by_httpx(value: Any) -> None:
    """To the byte, with the same fields, and refused where httpx refuses it."""
    encode = json_encoder(httpx)
    assert encode is not None

    def by_httpx(value: Any) -> tuple[list[Any], bytes]:
        headers, stream = httpx._content.encode_request(json=value)
        return list(headers.items()), b"".join(stream)

    def by_us(value: Any) -> tuple[list[Any], bytes]:
        body = encode(value)
        return list(description_of(body).items()), body

    assert encoded_or_error(by_us, value) == encoded_or_error(by_httpx, value)


def test_a_cycle_is_refused_and_the_next_value_is_encoded() -> None:
    """The one encoder keeps nothing of a value."""
    encode = json_encoder(httpx)
    cycle: list[Any] = [1]
    cycle.append(cycle)
    assert encode is not None

    with pytest.raises(ValueError, match="Circular"):
        encode(cycle)
    cycle.pop()
    assert encode([cycle, cycle]) == b"[[1],[1]]"


class Url(httpx.URL):
    """A URL of the caller's own class, which may read otherwise."""


def test_a_url_of_another_class_is_read_by_httpx() -> None:
    """Its parts are the client's to ask for."""
    client, ours = encoder("own agent")
    prepared = prepared_by(ours, Request(Url("http://a.test/b"), headers={"x": "y"}), LIMITS)

    expected = client.build_request("GET", "http://a.test/b", headers={"x": "y"})
    assert prepared is not None
    assert prepared.native().headers.raw == expected.headers.raw


def test_json_that_the_library_encodes_otherwise_is_sent_as_it_encodes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a request of its own all the same."""
    monkeypatch.setattr("httpx._content.json_dumps", lambda value, **_: f"<{value}>")
    client = OwnClient(trust_env=False)
    ours = RequestEncoder(client, binding_of(client), client.own_transport)
    prepared = prepared_by(ours, Request("http://a.test/", "POST", json=[1]), LIMITS)

    assert prepared is not None
    assert prepared.body == b"<[1]>"
    assert b"\r\nContent-Length: 5\r\n" in prepared.payload


@pytest.mark.parametrize(
    "content",
    [
        SimpleNamespace(),
        SimpleNamespace(json_dumps=lambda *_, **__: "", encode_request=None),
        SimpleNamespace(json_dumps=json.dumps, encode_request=lambda **_: ({}, [b"{}"])),
        SimpleNamespace(json_dumps=json.dumps, encode_request=lambda **_: 1 / 0),
    ],
)
def test_a_library_that_encodes_json_otherwise_does_it_itself(content: Any) -> None:
    """As one in which another function was put in the place of `json.dumps`."""
    library: Any = ModuleType("library")
    library._content = content

    assert json_encoder(library) is None


def test_a_function_that_is_put_in_the_place_of_dumps_later_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the next fetcher, although one before has encoded as httpx did then."""
    assert json_encoder(httpx) is not None

    monkeypatch.setattr("httpx._content.json_dumps", lambda value, **_: "other")

    assert json_encoder(httpx) is None
