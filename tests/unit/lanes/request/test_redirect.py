"""The requests that redirects lead to: the same to the byte as httpx's, or left to it."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from asyncbatch import FailureKind, Fetcher, Request
from asyncbatch._engine.http11._head import parse_head
from asyncbatch._lanes import binding_of
from asyncbatch._lanes.client._next_request import leave_behind
from asyncbatch._lanes.client._own_client import OwnClient
from asyncbatch._lanes.request._encode import RequestEncoder
from asyncbatch._lanes.request._encoded_request import PreparedRequest
from asyncbatch._lanes.request._redirect import _from_root, redirection_of
from asyncbatch._values._plain_urls import split_plain
from asyncbatch._values._timeouts import TimeLimits
from asyncbatch.testing import LoopbackServer, RecordedRequest, Reply, echo
from tests.served import lanes_of, prepared_by
from tests.virtual_time import virtual_time

LIMITS = TimeLimits(total=30, connect=10)

CLIENTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "own fields": {"headers": {"x-own": "1", "content-type": "a/b", "proxy-authorization": "B x"}},
    "authorized": {"auth": ("me", "secret")},
    "bearer": {"headers": {"authorization": "Bearer t"}},
    "host": {"headers": {"host": "h.test"}},
    "cookie": {"headers": {"cookie": "h=1"}},
    "cookies": {"cookies": {"own": "1"}},
    "closing": {"headers": {"connection": "close"}},
}


@functools.cache
def encoder(kind: str) -> tuple[OwnClient, RequestEncoder]:
    """Return a client that is never opened, and what prepares requests for its engine."""
    client = OwnClient(**CLIENTS[kind], trust_env=False)
    client.cookies.set("other", "2", domain="b.test", path="/p")
    return client, RequestEncoder(client, binding_of(client), client.own_transport)


URLS = st.sampled_from(
    [
        *("http://a.test/", "http://a.test", "http://a.test/x/y/z?q=1", "http://a.test:8080/x/"),
        *(
            "https://a.test/x",
            "https://a.test:8443/",
            "http://a.test/x#there",
            "http://127.0.0.1/a",
        ),
    ]
)
_PIECES = [
    *("/", "/x", "/p/q", "x", "../", "./", "..", ".", "?", "?a=b", "#", "#f", "//", "://", ":"),
    *("http", "https", "http://", "https://", "a.test", "b.test", "A.test", ":80", ":443", ":8080"),
    *("@", "user:pw@", "%41", "%zz", " ", "é", "\t", "\\", "[::1]", "ftp://", "mailto:", ";p", "'"),
]
LOCATIONS = st.one_of(
    st.sampled_from(
        [
            *("/x", "/x?a=b#c", "y", "y/z", "../y", "?q", "#f", "", "//b.test/p", "/x?a='b'"),
            *("http://a.test/y", "https://a.test/y", "http://a.test:80/y", "https://a.test:443/y"),
            *("http://b.test/p/q?r", "http://b.test", "https://b.test:8443/p", "http://B.test/"),
            *("http://a.test:8080/", "http://127.0.0.1:99999/", "http://a..test/", "http:///x"),
        ]
    ),
    st.lists(st.sampled_from(_PIECES), max_size=5).map("".join),
)
STATUSES = st.sampled_from([301, 302, 303, 307, 308])
REQUESTS = st.sampled_from(
    [
        *({}, {}, {"headers": {"x-a": "1"}}, {"headers": {"authorization": "Bearer u"}}),
        *({"method": "HEAD"}, {"method": "POST"}, {"method": "POST", "json": [1]}),
        *({"method": "PUT", "content": b"abc"}, {"method": "DELETE"}, {"content": b"of a get"}),
        *({"method": "QUERY", "content": b"x"}, {"headers": {"cookie": "mine=1"}}),
        *({"cookies": {"mine": "1"}}, {"headers": {"host": "other.test", "x-b": "2"}}),
        {"headers": {"Proxy-Authorization": "Basic x"}},
    ]
)


@given(st.sampled_from(sorted(CLIENTS)), URLS, REQUESTS, st.lists(st.tuples(STATUSES, LOCATIONS)))
@settings(max_examples=300, deadline=None)
@example("authorized", "http://a.test/", {}, [(302, "https://a.test/"), (302, "/x")])
@example("authorized", "http://a.test:8080/", {}, [(302, "https://a.test/")])
@example("cookies", "http://a.test/", {"method": "POST", "json": [1]}, [(307, "http://b.test/p")])
@example("plain", "http://a.test/#f", {}, [(301, "/x"), (301, "y#g"), (303, "?q")])
def test_a_redirect_leads_where_httpx_would_go(
    kind: str, url: str, own: dict[str, Any], redirects: list[tuple[int, str]]
) -> None:
    """With the same method, fields, body and extensions, however many there were before."""
    client, ours = encoder(kind)
    item = Request(url, **own) if own else url
    prepared = prepared_by(ours, item, LIMITS)
    assume(prepared is not None)
    assert prepared is not None
    native = prepared.native()
    for status, location in redirects:
        block = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\n".encode()
        try:
            head = parse_head(block)
        except Exception:
            return
        redirection = redirection_of(prepared, head, ours.origin_heads)
        following = None if redirection is None else redirection.compose(client.cookies.jar)
        if following is None:
            return  # left to httpx
        response = httpx.Response(status, headers=head.fields, request=native)
        expected = client._build_redirect_request(native, response)
        leave_behind(native, expected)

        check_same(following, expected)
        prepared, native = following, expected


@given(URLS, LOCATIONS)
@settings(max_examples=1000, deadline=None)
@example("http://a.test/a", "/b;")
@example("http://a.test/a", "/b/../c")
@example("http://a.test/a", "/b?/.")
@example("http://a.test/a", "//b.test/c")
@example("http://a.test?a/b", "/c")
@example("http://me@a.test/a", "/c")
@example("http://a.test/a", "/" + "b" * 65_536)
def test_a_path_from_the_root_is_joined_as_urljoin_does(base: str, reference: str) -> None:
    """It has the origin of the URL before, and is plain; what is joined otherwise is left."""
    found = _from_root(base.partition("#")[0], reference)

    if found is not None:
        url, *parts = found
        assert url == urljoin(base, reference)
        assert tuple(parts) == split_plain(url)


@pytest.mark.parametrize("reference", ["/", "/x", "/x?a=b", "/x//y/z.html?q=&r=:", "/x:y"])
def test_a_usual_path_from_the_root_is_not_left_to_urljoin(reference: str) -> None:
    """That is what most redirects name."""
    assert _from_root("http://a.test:8080/a/b?c", reference) is not None


def check_same(following: PreparedRequest, expected: httpx.Request) -> None:
    """See that both would be sent alike, and look alike."""
    head = [b"%b: %b" % field for field in expected.headers.raw]
    hosts = [line for line in head if line.lower().startswith(b"host:")]
    line = b"%b %b HTTP/1.1" % (expected.method.encode(), expected.url.raw_path)
    others = [line for line in head if line not in hosts]
    sent = following.payload.split(b"\r\n")
    assert sent[0] == line
    assert sorted(sent[1:-2]) == sorted([*hosts, *others])
    assert isinstance(expected.stream, httpx.ByteStream)
    assert (following.body or b"") == b"".join(expected.stream)
    assert following.origin.host == expected.url.raw_host.decode()
    shown = following.native()
    assert (shown.method, str(shown.url)) == (expected.method, str(expected.url))
    assert shown.headers.raw == expected.headers.raw
    assert shown.extensions == expected.extensions
    assert hasattr(shown, "_content") == hasattr(expected, "_content")
    assert b"".join(shown.stream) == b"".join(expected.stream)


@pytest.mark.parametrize(
    "location", ["/x", "y", "?q", "//b.test/", "http://b.test/x", "/x#f", "../y?z"]
)
def test_what_is_plain_is_not_left_to_httpx(location: str) -> None:
    """Absolute, relative, within the origin and to another one."""
    _, ours = encoder("authorized")
    prepared = prepared_by(ours, "http://a.test/a/b", LIMITS)
    assert prepared is not None
    head = parse_head(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n".encode())

    assert redirection_of(prepared, head, ours.origin_heads) is not None


@pytest.fixture
async def server() -> AsyncIterator[LoopbackServer]:
    """Run a server that answers on two hosts."""
    async with LoopbackServer(hosts=2) as server:
        server.on("/echo", echo)
        yield server


pytestmark = pytest.mark.asyncio_only


async def test_a_chain_is_followed_on_the_engine(server: LoopbackServer) -> None:
    """Each hop is a response in the history, with its own before it, its body and its time."""
    away = {"location": server.url("/c", host=2)}
    server.on("/a", Reply(302, b"first", headers={"location": "/b"}))
    server.on("/b", Reply(302, b"second", headers=away).gzipped())
    server.on("/c", Reply.redirect("/echo"))

    async with Fetcher(retry=None, headers={"authorization": "Bearer t"}) as fetcher:
        lanes = lanes_of(fetcher)
        result = await fetcher.fetch(server.url("/a"))

    assert lanes == ["direct"] * 4
    assert result.ok
    assert str(result.url) == server.url("/echo", host=2)
    response = result.response
    assert [each.content for each in response.history[:2]] == [b"first", b"second"]
    before = [[str(earlier.url) for earlier in each.history] for each in response.history]
    assert before == [[], [server.url("/a")], [server.url("/a"), server.url("/b")]]
    assert [each.next_request for each in response.history] == [None] * 3
    assert all(each.is_closed and each.elapsed.total_seconds() > 0 for each in response.history)
    assert "authorization" not in response.request.headers
    assert "authorization" in response.history[1].request.headers
    assert result.timing.wait is not None


async def test_what_is_odd_in_the_middle_goes_on_from_there(server: LoopbackServer) -> None:
    """The client gets the responses before it as well, and no request is sent twice."""
    server.on("/a", Reply.redirect("/b"))
    server.on("/b", Reply.redirect("/c?é").with_header("set-cookie", "a=1"))
    server.on("/c", lambda request: Reply(body=request.headers.get("cookie", "")))

    async with Fetcher(retry=None) as fetcher:
        lanes = lanes_of(fetcher)
        result = await fetcher.fetch(server.url("/a"))

    assert lanes == ["direct", "direct", "client"]
    assert [request.path for request in server.requests] == ["/a", "/b", "/c"]
    assert result.text == "a=1"
    assert result.ok
    assert [each.url.path for each in result.response.history] == ["/a", "/b"]


@pytest.mark.parametrize("most", [0, 1, 2, 3])
async def test_a_chain_may_be_so_long_and_no_longer(server: LoopbackServer, most: int) -> None:
    """What would lead further is of kind `redirect`, and names the request that it leads to."""
    server.on("/a", Reply.redirect("/b"))
    server.on("/b", Reply.redirect("/c"))
    server.on("/c", Reply.redirect("/echo"))

    async with Fetcher(retry=None, max_redirects=most) as fetcher:
        result = await fetcher.fetch(server.url("/a"))

    assert len(server.requests) == most + 1
    assert result.ok is (most == 3)
    if not result.ok:
        assert result.kind is FailureKind.redirect
        assert isinstance(result.error, httpx.TooManyRedirects)
        assert result.error.request.url.path == ["/b", "/c", "/echo"][most]


async def test_a_failure_behind_a_redirect_is_not_the_first_hosts(server: LoopbackServer) -> None:
    """It has answered; and the request that failed is the last."""
    server.on("/a", Reply.redirect("/b"))
    server.on("/b", Reply.redirect(server.dead_url()))

    async with Fetcher(retry=None) as fetcher:
        lanes = lanes_of(fetcher)
        result = await fetcher.fetch(server.url("/a"))

    assert lanes == ["direct"] * 3
    assert result.kind is FailureKind.connect
    assert str(result.url) == server.dead_url()
    assert isinstance(result.error, httpx.ConnectError)
    assert str(result.error.request.url) == server.dead_url()
    assert result.timing.wait is not None


async def test_a_failed_status_behind_redirects_has_its_history(server: LoopbackServer) -> None:
    """As a success has."""
    server.on("/a", Reply.redirect("/b"))
    server.on("/b", Reply(503, b"later"))

    async with Fetcher(retry=None) as fetcher:
        result = await fetcher.fetch(server.url("/a"))

    assert result.kind is FailureKind.status
    assert result.response is not None
    assert result.response.content == b"later"
    assert [each.status_code for each in result.response.history] == [302]


@pytest.mark.any_loop
@pytest.mark.asyncio_only
async def test_all_hops_have_one_time_limit(server: LoopbackServer) -> None:
    """It is that of the attempt, and what has come before it passed is not started again."""
    server.on("/a", Reply.redirect("/b").delayed(20))
    server.on("/b", Reply.redirect("/c").delayed(20))
    server.on("/c", Reply().delayed(3000))

    with virtual_time():
        async with Fetcher(retry=None, timeout=60) as fetcher:
            result = await fetcher.fetch(server.url("/a"))

    assert result.kind is FailureKind.timeout
    assert result.elapsed == pytest.approx(60, abs=5)
    assert [request.path for request in server.requests] == ["/a", "/b", "/c"]
    assert result.timing.wait is not None
    assert result.timing.wait > 40


async def test_a_cookie_of_a_redirect_is_sent_where_it_leads(server: LoopbackServer) -> None:
    """In the place of what the request before had, and to no other host."""

    def sent(request: RecordedRequest) -> Reply:
        return Reply(body=request.headers.get("cookie", "none"))

    server.on("/a", Reply.redirect("/sent").with_header("set-cookie", "b=2; Path=/"))
    server.on("/away", Reply.redirect(server.url("/sent", host=2)))
    server.on("/sent", sent)

    async with Fetcher(retry=None) as fetcher:
        lanes = lanes_of(fetcher)
        own = Request(server.url("/a"), cookies={"a": "1"})
        results = await fetcher.fetch_many([own, server.url("/away")])

    assert [result.text for result in results] == ["b=2", "none"]
    assert set(lanes) == {"direct"}
