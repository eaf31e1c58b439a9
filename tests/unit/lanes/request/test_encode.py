"""From a request to bytes: the same that a client would have sent, and nothing hostile."""

from __future__ import annotations

import functools
import string
from collections.abc import Callable
from time import monotonic
from typing import Any

import httpx
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from asyncbatch import FailureKind, Fetcher, Request
from asyncbatch._engine.http11 import encode_fields, encode_request_line
from asyncbatch._lanes import DirectLane, binding_of
from asyncbatch._lanes.client._own_client import OwnClient
from asyncbatch._lanes.request._encode import RequestEncoder
from asyncbatch._lanes.request._encoded_request import PreparedRequest
from asyncbatch._values._timeouts import TimeLimits
from asyncbatch._values._tries import with_headers
from asyncbatch._values._urls import BLANKS
from asyncbatch.testing import LoopbackServer
from tests.served import prepared_by

LIMITS = TimeLimits(total=30, connect=10)


@functools.cache
def encoder() -> tuple[OwnClient, RequestEncoder]:
    """Return a client that is never opened, and what prepares requests for its engine."""
    client = OwnClient(headers={"x-own": "1"}, trust_env=False)
    return client, RequestEncoder(client, binding_of(client), client.own_transport)


def prepare(request: Any) -> PreparedRequest | None:
    """Prepare `request`; `None` if a client has to send it, or refuse to."""
    try:
        return prepared_by(encoder()[1], request, LIMITS)
    except Exception:
        return None


def assert_as_built(prepared: PreparedRequest, native: httpx.Request) -> None:
    """Check that the bytes are those of the request that the client builds."""
    line = encode_request_line(native.method.encode(), native.url.raw_path)
    fields = encode_fields(native.headers.raw)
    port = native.url.port or {"http": 80, "https": 443}[native.url.scheme]

    assert prepared.payload == line + fields.block
    assert prepared.closes == fields.closes
    assert prepared.origin.host == native.url.raw_host.decode()
    assert prepared.origin.port == port
    assert prepared.origin.is_tls == (native.url.scheme == "https")
    shown = prepared.native()
    assert shown.url == native.url
    assert shown.headers.raw == native.headers.raw
    assert shown.method == native.method


# Whatever stands in URLs, and what somebody might smuggle into one.
ALPHABET = (
    string.ascii_letters + string.digits + "-._~:/?#[]@!$&'()*+,;=% \t\r\n\\\"<>^`{|}\x00\x7füé中"
)
TEXTS = st.text(ALPHABET, max_size=30)
HOSTS = st.one_of(
    st.from_regex(r"[a-z0-9][a-z0-9.-]{0,12}[a-z0-9]", fullmatch=True),
    st.sampled_from(
        ["127.0.0.1", "1.2.3", "256.1.1.1", "[::1]", "xn--bcher-kva.test", "a..b", "A"]
    ),
    TEXTS,
)
PORTS = st.one_of(st.just(""), st.integers(-1, 70_000).map(lambda port: f":{port}"), TEXTS)
PATHS = st.one_of(
    st.just(""),
    st.from_regex(
        r"(/[a-zA-Z0-9._~%!$&'()*+,;=:@-]{0,6}){0,4}(\?[a-z%=&'/?]{0,9})?", fullmatch=True
    ),
    TEXTS.map(lambda text: "/" + text),
    TEXTS.map(lambda text: "?" + text),
)
URLS = st.builds(
    lambda scheme, host, port, path: f"{scheme}://{host}{port}{path}",
    st.sampled_from(["http", "https", "HTTP", "ftp"]),
    HOSTS,
    PORTS,
    PATHS,
)


TRICKY = [
    "http://a.test",
    "http://a.test?",
    "http://a.test/?",
    "http://a.test?a=b",
    "http://a.test:80/",
    "https://a.test:443/x",
    "http://a.test//b/../c",
    "http://a.test/%2e%2e/b",
    "http://a.test/a.b/.c",
    "http://a.test/.",
    "http://a.test/./b",
    "http://a.test/..?b",
    "http://a.test/.?",
    "http://a.test/.../..b/.",
    "http://a.test/.well-known/b",
    "http://a.test/b?/./..",
    "http://a.test/%zz",
    "http://a.test/%",
    "http://a.test/a%0d%0ab",
    "http://a.test/'?'",
    "http://a.test/\n",
    "http://a.test\n",
    "http://a.test/ HTTP/1.1\r\nx: y",
    "http://256.1.1.1/",
    "http://1.2.3.4.5/",
    "http://xn--bcher-kva.test/",
    "http://a.test:65535/",
    "http://a.test:65536/",
    "http://a.test:08/",
    "http://user:pass@a.test/",
]
"""URLs that were, or might have been, taken for plain ones."""


def with_tricky(test: Callable[[str], None]) -> Callable[[str], None]:
    """Run a property of URLs with all that are tricky, too."""
    for url in TRICKY:
        test = example(url)(test)
    return test


@with_tricky
@given(URLS)
@settings(max_examples=80, deadline=None)
def test_a_url_is_prepared_as_httpx_would_send_it_or_not_at_all(url: str) -> None:
    """The short way for plain URLs and the way of all others, byte for byte."""
    client, _ = encoder()
    prepared = prepare(url)
    assume(prepared is not None)
    assert prepared is not None

    try:
        # Without the blanks around it, which httpx takes for a part of it or an error.
        request = client.build_request("GET", url.strip(BLANKS))
    except UnicodeError:
        # httpx decodes names that begin with "xn--", though it sends them as they are.
        assert "://xn--" in url
        return
    assert_as_built(prepared, request)
    assert prepared.payload.count(b"\r\n\r\n") == 1
    assert prepared.payload.endswith(b"\r\n\r\n")


@with_tricky
@given(URLS)
@settings(max_examples=80, deadline=None)
async def test_a_lane_sends_what_would_have_been_prepared(url: str) -> None:
    """At the first look at an origin, and at the next, which only reads the target."""
    client, _ = encoder()
    lane = DirectLane(
        client, binding_of(client), max_body=None, follow_redirects=True, max_redirects=5
    )
    lane.begin_batch(monotonic)
    first, second = lane.encode(url, LIMITS), lane.encode(url, LIMITS)

    prepared = prepare(url)
    if prepared is None:
        assert first is second is None
        return
    assert first is not None
    assert second is not None
    payloads = {PreparedRequest.of(each, LIMITS).payload for each in (first, second)}
    assert payloads == {prepared.payload}


CLIENTS: dict[str, dict[str, Any]] = {
    "usual": {},
    "a header": {"headers": {"x-own": "1"}},
    "its own codings": {"headers": {"accept-encoding": "br", "x-own": "1"}},
    "no codings": {"headers": {"Accept-Encoding": ""}},
    "basic": {"auth": ("user", "secret")},
    "basic and cookies": {"auth": ("user", "secret"), "cookies": {"a": "1"}},
    "cookies": {"cookies": {"a": "1", "b": "2"}},
    "authorization": {"headers": {"Authorization": "Bearer x"}},
    "authorization twice": {"headers": {"Authorization": "Bearer x"}, "auth": ("user", "secret")},
    "host": {"headers": {"Host": "other.test"}},
    "range": {"headers": {"Range": "bytes=0-9"}},
    "length": {"headers": {"Content-Length": "0"}},
    "parameters": {"params": {"a": "1"}},
    "hooks": {"event_hooks": {"request": [print]}},
    "digest": {"auth": httpx.DigestAuth("user", "secret")},
}
"""Clients, and below those of which no plain request is encoded for a file."""

LEFT = {"host", "range", "length", "parameters", "hooks", "digest"}


@pytest.mark.any_loop
@pytest.mark.parametrize("name", CLIENTS)
async def test_a_plain_request_for_a_file_is_what_its_header_makes_of_it(name: str) -> None:
    """Byte by byte, on the wire and as it is shown; or it is left to the other way."""
    client = OwnClient(**CLIENTS[name], trust_env=False)
    lane = DirectLane(
        client, binding_of(client), max_body=None, follow_redirects=True, max_redirects=5
    )
    lane.begin_batch(monotonic)
    found = []
    for url in ("http://a.test/x?y", "http://b.test:81/", "http://a.test/z"):
        tried = with_headers(Request(url), {"Accept-Encoding": "identity"})
        asking = lane.encode_for_file(url, tried, LIMITS)
        found.append(asking is not None)
        if asking is None:
            continue
        prepared = PreparedRequest.of(asking, LIMITS)
        expected = lane.encode(tried, LIMITS)
        assert isinstance(expected, PreparedRequest)
        assert prepared.payload == expected.payload
        assert prepared.item is tried
        assert prepared.origin == expected.origin
        assert prepared.closes == expected.closes
        assert prepared.native().headers.raw == expected.native().headers.raw
        assert prepared.native().url == expected.native().url
        plain = lane.encode(url, LIMITS)
        assert plain is not None
        assert b"identity" not in PreparedRequest.of(plain, LIMITS).payload

    assert found == [name not in LEFT] * 3


@pytest.mark.any_loop
async def test_a_request_for_a_file_has_the_headers_that_its_client_has_now() -> None:
    """What was made before a change is forgotten."""
    client = OwnClient(trust_env=False)
    lane = DirectLane(
        client, binding_of(client), max_body=None, follow_redirects=True, max_redirects=5
    )
    lane.begin_batch(monotonic)
    url = "http://a.test/"
    tried = with_headers(Request(url), {"Accept-Encoding": "identity"})
    payloads = []
    for number in (1, 2):
        client.headers["x-own"] = str(number)
        client.cookies.set("a", str(number), domain="a.test", path="/")
        asking = lane.encode_for_file(url, tried, LIMITS)
        assert asking is not None
        payloads.append(PreparedRequest.of(asking, LIMITS).payload)

    assert [b"x-own: 2" in payload for payload in payloads] == [False, True]
    assert [b"a=2" in payload for payload in payloads] == [False, True]


@given(st.text(ALPHABET, max_size=12), st.text(ALPHABET, max_size=12), TEXTS)
@settings(max_examples=100, deadline=None)
@example("GET", "x", "a\r\nb: c")
@example("GET", "x", "a\nb: c")
@example("GET", "x\r\nb", "c")
@example("GET", "x", " a")
@example("GET / HTTP/1.1\r\nHost: b\r\n\r\nGET", "x", "")
def test_no_method_and_no_header_gets_a_line_of_its_own(method: str, name: str, value: str) -> None:
    """Whatever is prepared has one line for each field."""
    try:
        request = Request("http://a.test/", method, headers={name: value})
    except (TypeError, ValueError):
        return
    prepared = prepare(request)
    if prepared is None:
        return

    head = prepared.payload.removesuffix(b"\r\n\r\n")
    fields = len(prepared.native().headers.raw)
    assert head.count(b"\r\n") == head.count(b"\n") == head.count(b"\r") == fields
    assert b"\x00" not in head


@pytest.mark.parametrize("headers", [{}, {"Host": "h.test"}, {"connection": "close"}])
def test_every_origin_gets_the_host_that_httpx_would_send(headers: dict[str, str]) -> None:
    """At the first origin as at the others, for which the client's headers are known already."""
    client = OwnClient(headers=headers, trust_env=False)
    ours = RequestEncoder(client, binding_of(client), client.own_transport)

    for url in ("http://a.test/", "http://b.test:81/", "https://b.test:443/", "http://10.0.0.1/"):
        prepared = prepared_by(ours, url, LIMITS)
        assert prepared is not None
        assert_as_built(prepared, client.build_request("GET", url))


PLAIN = [
    "http://a.test",
    "http://a.test/",
    "https://a.test:8443/a/b.c?d=e&f=%20",
    "http://127.0.0.1:8000/x",
    "http://a.test?q",
    "http://a.test/.well-known/security.txt",
    "http://a.test/.../..b?/./..",
]


@pytest.mark.parametrize("url", PLAIN)
def test_a_plain_url_is_not_built(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its origin is, once; the request is built when somebody asks for it."""
    client, _ = encoder()
    prepare(url)  # the origin
    built: list[Any] = []
    real = httpx.Request.__init__

    def noting(self: Any, *args: Any, **kwargs: Any) -> None:
        built.append(args)
        real(self, *args, **kwargs)

    monkeypatch.setattr(httpx.Request, "__init__", noting)
    prepared = prepare(url)

    assert prepared is not None
    assert built == []
    assert prepared.native() is prepared.native()
    assert len(built) == 1
    assert_as_built(prepared, client.build_request("GET", url))


BUILT = {
    "post": Request("http://a.test/", "POST", content=b"\x00\xff"),
    "form": Request("http://a.test/?a=b", "PUT", data={"c": "ü"}),
    "json": Request("http://a.test/", "PATCH", json=[1]),
    "empty body": Request("http://a.test/", "POST", content=b""),
    "headers": Request("http://a.test/", headers=[("x", "1"), ("X", "2"), ("x-own", "3")]),
    "host": Request("http://a.test/", headers={"host": "b.test"}),
    "params": Request("http://a.test/?x=1", params={"a": ["1", "2"]}),
    "relative": Request("http://A.TEST:80/b/../c d?ü#f"),
    "IPv6": Request("http://[::1]:8000/"),
    "IDNA": Request("https://bücher.test/"),
}


@pytest.mark.parametrize("case", BUILT)
def test_any_other_request_is_built_by_the_client(case: str) -> None:
    """And encoded from what it built."""
    client, _ = encoder()
    request = BUILT[case]
    names = ("headers", "content", "data", "json")
    given = {name: getattr(request, name) for name in names if getattr(request, name) is not None}
    if request.params is not None:
        # httpx would put them in the place of the URL's own query.
        given["params"] = [("x", "1"), ("a", "1"), ("a", "2")]

    prepared = prepare(request)

    native = client.build_request(request.method, request.url, **given)
    assert prepared is not None
    assert_as_built(prepared, native)
    assert prepared.body == (native.content or None)


def test_the_host_field_comes_first() -> None:
    """Wherever the caller has put it (RFC 9110 §7.2)."""
    prepared = prepare(Request("http://a.test/", headers={"accept": "x", "host": "b.test"}))

    assert prepared is not None
    assert prepared.payload.startswith(b"GET / HTTP/1.1\r\nhost: b.test\r\n")


async def test_a_url_that_is_longer_than_httpx_takes_is_invalid(server: LoopbackServer) -> None:
    """Plain as it may look: nobody could ask its result for a URL or a response."""
    async with Fetcher(retry=None) as fetcher:
        result = await fetcher.fetch(server.url("/?" + "a" * 65_536))

    assert not result.ok
    assert result.kind is FailureKind.invalid_request
    assert "too long" in str(result.error)
    assert "invalid_request" in repr(result)
    assert server.requests == ()


@pytest.mark.parametrize(
    ("text", "shown"),
    [("not a url", "not a url"), ("mailto:x@y", "[secure]@y"), ("user:secret@h/x", "[secure]@h/x")],
)
async def test_what_is_no_url_is_quoted_as_it_was_given(text: str, shown: str) -> None:
    """But for what may be a password."""
    async with Fetcher(retry=None) as fetcher:
        result = await fetcher.fetch(text)

    assert not result.ok
    assert str(result.error).endswith(f"not {shown!r}")


GIVEN = {
    "get": httpx.Request("GET", "http://a.test/x?y=z"),
    "fields": httpx.Request("GET", "http://a.test", headers=[("x", "1"), ("X", "2")]),
    "post": httpx.Request("POST", "https://a.test:8443/", json={"a": 1}),
    "range": httpx.Request("GET", "http://a.test/", headers={"range": "bytes=0-1"}),
    "phases": httpx.Client(timeout=3).build_request("GET", "http://a.test/"),
    "odd URL": httpx.Request("DELETE", "http://A.test/ü b#c"),
}


@pytest.mark.parametrize("case", GIVEN)
def test_a_request_of_the_callers_is_sent_as_it_is(case: str) -> None:
    """On the engine; without the client's headers and cookies, and with its own time limits."""
    client = OwnClient(headers={"x-own": "1"}, cookies={"c": "1"}, trust_env=False)
    ours = RequestEncoder(client, binding_of(client), client.own_transport)
    given = GIVEN[case]

    prepared = prepared_by(ours, given, LIMITS)

    assert prepared is not None
    assert prepared.native().headers.raw == given.headers.raw
    assert prepared.native() is not given
    assert prepared.native().url == given.url
    assert prepared.body == (given.content or None)
    phases = given.extensions.get("timeout", LIMITS.by_phase())
    assert prepared.limits.by_phase() == phases
    assert prepared.limits.total == LIMITS.total
    assert prepared.native().extensions == {"timeout": phases}
    assert prepared.may_relay is (case != "phases")


@pytest.mark.parametrize(
    "given",
    [
        httpx.Request("POST", "http://a.test/", content=iter([b"x"])),
        httpx.Request("GET", "http://a.test/", extensions={"sni_hostname": "b.test"}),
        httpx.Request("GET", "http://a.test/", extensions={"timeout": {"read": 1}}),
        httpx.Request("GET", "http://u:p@a.test/"),
        httpx.Request("CONNECT", "http://a.test/"),
    ],
    ids=["stream", "extension", "phases", "userinfo", "connect"],
)
def test_what_a_request_of_the_callers_may_ask_for_is_the_clients(given: httpx.Request) -> None:
    """A body that is produced, an extension, a phase that is missing, credentials, a tunnel."""
    client = OwnClient(trust_env=False)
    ours = RequestEncoder(client, binding_of(client), client.own_transport)

    assert prepared_by(ours, given, LIMITS) is None
