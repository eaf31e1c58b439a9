"""What cannot be sent: every input has exactly one result, and no connection is made for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import StringIO
from typing import Any

import httpx
import pytest

from asyncbatch import Failure, FailureKind, Fetcher, HTTPTransport, Request
from asyncbatch._lanes.request._sendable import _HOST_AND_PORT
from asyncbatch.testing import LoopbackServer, Reply

pytestmark = pytest.mark.any_loop

URLS: list[Any] = [
    "",
    " ",
    "\t\n",
    "/",
    "x",
    "example.org",
    "//example.org",
    "://",
    "http:",
    "http://",
    "http:///",
    "http:///path",
    "http://?",
    "http://#",
    "http://:80/",
    "http://@/",
    "http://user:pass@/",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "data:,x",
    "mailto:a@example.org",
    "ws://127.0.0.1/",
    "{base}\r\nx: y",
    "{base}a\nb",
    "{base}a\x00b",
    "{base}\x7f",
    "{base}\ud800",
    "{base}\n/",
    "http://{base}",
    "http://https://a.test/",
    "{base}" + "a?" + "b" * 70_000,
    "{base}#" + "b" * 70_000,
    "http:127.0.0.1",
    "http:/127.0.0.1",
    "http:\\\\127.0.0.1\\",
    "http:/\\127.0.0.1",
    "http://\\127.0.0.1/",
    "http://a\\@127.0.0.1/",
    "http://127.0.0.1\\@b/",
    "http://127.0.0.1\\b/",
    "http://a@b@127.0.0.1/",
    "http://a@b:80@127.0.0.1/",
    "http://127.0.0.1:80@a@b/",
    "http://127.0.0.1:80:80/",
    "http://127.0.0.1:80a/",
    "http://127.0.0.1::/",
    "http://a:b@127.0.0.1:80:/",
    "http://[::1]:80:80/",
    "http://[::1]80/",
    "http://[[::1]]/",
    "http://[]/",
    "http://]/",
    "http://me:secret/@127.0.0.1/",
    "http://me:secret#@127.0.0.1/",
    "http://127.0.0.1:\u0668\u0660/",
    "http://127.0.0.1:8\u20600/",
    "http://127.0.0.1:" + "9" * 5000 + "/",
    "http://xn--\u00fc.test/",
    "http://a\u3002\u3002b/",
    "http://\uff41.test/",
    "http://a\u2044b/",
    "http://a\u2100b/",
    "http://a%40b/",
    "http://a%5c@b%5c/",
    "http://a;b{c/",
    "http://a\ttest/",
    "http://a\u00a0b/",
    "HTTP://\u200b/",
    "view-source:http://127.0.0.1/",
    "blob:http://127.0.0.1/",
    "about:blank",
    "gopher://127.0.0.1/",
    "http+unix://socket/",
    "hxxp://127.0.0.1/",
    "httpx://127.0.0.1/",
    "\u00a0http://127.0.0.1/",
    "\ufeffhttp://127.0.0.1/",
    "h\u0442tp://127.0.0.1/",
    "http://127.0.0.1\r\n/",
    "http://127.0.0.1\x00/",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:65536/",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:-1/",
    "http://127.0.0.1:+80/",
    "http://127.0.0.1:8o/",
    "http://127.0.0.1:8_0/",
    "http://127.0.0.1:\uff18\uff10/",
    "http://a:b@127.0.0.1:+80?",
    "http://127.0.0.1: 80/",
    "http://[::1/",
    "http://::1]/",
    "http://[::g]/",
    "http://a b/",
    "http://a%00b/",
    "http://a%2fb/",
    "http://a<b>/",
    "http://a\\b/",
    "http://exa|mple.org/",
    "http://.../",
    "http://a..b/",
    "http://" + "a" * 64 + ".test/",
    "http://" + "a." * 200 + "test/",
    "http://\u2603\u200d\ud83d/",
    "http://\u00ad/",
    "http://-\u00fc-/",
    "http://127.0.0.1/" + "a" * 1_000_000,
    None,
    42,
    b"http://127.0.0.1/",
    ["http://127.0.0.1/"],
    object,
]


@pytest.fixture(params=["direct", "engine", "httpx", "httpx2"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """Return a client for each lane: none for the direct one, one on the engine, and stock ones."""
    if request.param == "direct":
        yield None
        return
    library = httpx if request.param == "engine" else pytest.importorskip(request.param)
    transport = HTTPTransport() if request.param == "engine" else None
    async with library.AsyncClient(transport=transport, trust_env=False) as client:
        yield client


async def test_a_url_that_cannot_be_fetched_is_one_failure(
    client: Any, server: LoopbackServer
) -> None:
    """Among good ones, as in a list that strangers wrote; none of it reaches any server."""
    base = server.url()
    bad = [url.replace("{base}", base) if isinstance(url, str) else url for url in URLS]
    urls = [each for url in bad for each in (base, url)]

    # Where a busy machine takes longer, the host is not to be given up for it.
    async with Fetcher(client, timeout=60, retry=None, give_up_host_after=None) as fetcher:
        results = await fetcher.fetch_many(urls)

    wrong = [
        f"{ascii(urls[result.index])[:80]}: {result!r}"
        for result in results
        if result.index % 2 and (result.ok or result.kind != FailureKind.invalid_request)
    ]
    assert wrong == []
    assert all(result.ok for result in results[::2])
    assert all(failure.attempts <= 1 for failure in results.failures)
    assert all(len(repr(failure)) < 2_000_000 for failure in results.failures)
    assert all(len(str(failure.error)) < 1000 for failure in results.failures)
    assert server.statistics().requests == len(URLS)


NOT_RELATIVE = [
    "http:///x",
    "http:x",
    "http:/127.0.0.1/x",
    "http:\\\\127.0.0.1\\x",
    "https:",
    "http://",
    "http://:80/",
    "http://user@/",
    "//127.0.0.1/x",
    "://127.0.0.1/x",
    ":80/x",
    "\u00a0http://127.0.0.1/",
    "\x85http://127.0.0.1/",
    "ftp://127.0.0.1/x",
    "mailto:a@b",
    "javascript:alert(1)",
    "x:y",
    httpx.URL("mailto:a@b"),
    httpx.URL("http:x"),
]


async def test_the_message_names_the_url_as_it_was_given() -> None:
    """An empty cell of a table is called an empty URL, and not what httpx makes of it."""
    async with Fetcher() as fetcher:
        result = await fetcher.fetch("")

    assert isinstance(result, Failure)
    assert str(result.error).endswith("not ''")


async def test_what_is_not_relative_is_not_joined_to_the_base(server: LoopbackServer) -> None:
    """What follows the scheme would be fetched otherwise, as a path."""
    async with Fetcher(base_url=server.url("/api/"), timeout=5, retry=None) as fetcher:
        results = await fetcher.fetch_many([*NOT_RELATIVE, "x", "/y", "?q", "12:30", ""])

    kinds = [failure.kind for failure in results.failures]
    assert kinds == [FailureKind.invalid_request] * len(NOT_RELATIVE)
    assert sorted(request.target for request in server.requests) == [
        "/api/",
        "/api/12:30",
        "/api/?q",
        "/api/x",
        "/api/y",
    ]


HOSTILE: dict[str, dict[str, Any]] = {
    "method with a blank": {"method": "GE T"},
    "method with a line break": {"method": "GET / HTTP/1.1\r\nx: y\r\n\r\nGET"},
    "method with NUL": {"method": "GET\x00"},
    "empty method": {"method": ""},
    "method not ASCII": {"method": "GÉT"},
    "method with a surrogate": {"method": "G\ud800T"},
    "method with a tab": {"method": "GET\t"},
    "method with a colon": {"method": "GET:"},
    "method with other digits": {"method": "GET\uff11"},
    "method with a line separator": {"method": "GET\u2028"},
    "value with a line break": {"headers": {"x": "a\r\nb: c"}},
    "value with LF": {"headers": {"x": "a\nb"}},
    "value with CR": {"headers": {"x": "a\rb"}},
    "value with NUL": {"headers": {"x": "a\x00b"}},
    "value with a control character": {"headers": {"x": "a\x01b"}},
    "value with a blank at the end": {"headers": {"authorization": "Bearer secret\n"}},
    "value with a surrogate": {"headers": {"x": "\ud800"}},
    "value that is no text": {"headers": {"x": 5}},
    "value that is None": {"headers": {"x": None}},
    "value with a vertical tab": {"headers": {"x": "a\x0bb"}},
    "value with DEL": {"headers": {"x": "a\x7fb"}},
    "value with NEL": {"headers": {"x": "a\x85b"}},
    "value whose low byte is LF": {"headers": {"x": "a\u010ab: c"}},
    "value with a line separator": {"headers": {"x": "a\u2028b"}},
    "value not ASCII": {"headers": {"authorization": "Bearer secret\u2603"}},
    "value with a tab in front": {"headers": {"x": "\ta"}},
    "value of bytes with a line break": {"headers": {b"x": b"a\r\nb: c"}},
    "value of bytes with NUL": {"headers": {b"x": b"a\x00"}},
    "name of bytes with a line break": {"headers": {b"x\r\ny": b"a"}},
    "name that is None": {"headers": {None: "a"}},
    "name whose low byte is LF": {"headers": {"x\u010ay": "a"}},
    "name with NUL": {"headers": {"x\x00": "a"}},
    "name with a parenthesis": {"headers": {"(x)": "a"}},
    "headers that are text": {"headers": "a: b"},
    "headers that are bytes": {"headers": b"a: b"},
    "headers of one": {"headers": [("a",)]},
    "headers of three": {"headers": [("a", "b", "c")]},
    "headers of numbers": {"headers": [1, 2]},
    "content type with a line break": {"headers": {"content-type": "a/b\r\nx: y"}},
    "host with a line break": {"headers": {"host": "a\r\nx: y"}},
    "two hosts": {"headers": [("host", "a"), ("host", "b")]},
    "two lengths": {"method": "POST", "headers": [("content-length", "0")] * 2},
    "length and coding": {
        "method": "POST",
        "headers": [("content-length", "0"), ("transfer-encoding", "chunked")],
    },
    "length with a sign": {"method": "POST", "headers": {"content-length": "+0"}},
    "length below zero": {"method": "POST", "headers": {"content-length": "-1"}},
    "length in other digits": {"method": "POST", "headers": {"content-length": "\uff10"}},
    "coding that is unknown": {"method": "POST", "headers": {"transfer-encoding": "gzip"}},
    "coding in a list": {"method": "POST", "headers": {"transfer-encoding": "gzip, chunked"}},
    "name with a line break": {"headers": {"a\r\nb": "c"}},
    "name with a colon": {"headers": {"a:b": "c"}},
    "name with a blank": {"headers": {"a b": "c"}},
    "empty name": {"headers": {"": "c"}},
    "name not ASCII": {"headers": {"ü": "c"}},
    "headers that are none": {"headers": 42},
    "cookie with a line break": {"cookies": {"a": "b\r\nc: d"}},
    "cookie with NUL": {"cookies": {"a": "secret\x00"}},
    "cookie with a surrogate": {"cookies": {"a": "secret\ud800"}},
    "cookie not ASCII": {"cookies": {"a": "secret\u2603"}},
    "cookie whose name has a line break": {"cookies": {"a\r\nb": "c"}},
    "cookie that is a number": {"cookies": {"a": 5}},
    "cookies that are text": {"cookies": "a=b"},
    "cookies that are none": {"cookies": 42},
    "params that are none": {"params": 42},
    "params of numbers": {"params": [1]},
    "params with a surrogate": {"params": {"a": "secret\ud800"}},
    "params that are too long": {"params": {"a": "b" * 100_000}},
    "body that is none": {"method": "POST", "content": 42},
    "body with a surrogate": {"method": "POST", "content": "secret\ud800"},
    "body of texts": {"method": "POST", "content": ["a"]},
    "body that is a mapping": {"method": "POST", "content": {"a": 1}},
    "JSON that is not finite": {"method": "POST", "json": float("nan")},
    "JSON with a surrogate": {"method": "POST", "json": "secret\ud800"},
    "form with a surrogate": {"method": "POST", "data": {"a": "secret\ud800"}},
    "file whose type has a line break": {
        "method": "POST",
        "files": {"a": ("b", b"c", "text/plain\r\nx: y")},
    },
    "file with a header that has a line break": {
        "method": "POST",
        "files": [("a", ("b", b"c", "text/plain", {"x": "y\nz: secret"}))],
    },
    "file with a header whose name has NUL": {
        "method": "POST",
        "files": {"a": ("b", b"c", "text/plain", {"x\0": "y"})},
    },
    "file whose name has a surrogate": {"method": "POST", "files": {"a": ("\ud800", b"c")}},
    "file of text": {"method": "POST", "files": {"a": StringIO("b")}},
    "JSON that is none": {"method": "POST", "json": object()},
    "form that is none": {"method": "POST", "data": 42},
    "files that are none": {"method": "POST", "files": {"a": 42}},
    "auth that is none": {"auth": 42},
    "auth that is text": {"auth": "secret"},
    "auth of three": {"auth": ("me", "secret", "secret")},
    "auth of numbers": {"auth": (1, 2)},
    "auth with a surrogate": {"auth": ("me", "secret\ud800")},
    "auth that fails": {"auth": lambda _: 1 // 0},
    "time limit below zero": {"timeout": -1},
    "time limit that is no number": {"timeout": float("nan")},
    "time limit of zero": {"timeout": 0},
    "time limit that is a truth": {"timeout": True},
    "time limit that is none": {"timeout": "soon"},
    "extensions that are none": {"extensions": 42},
    "trace that is none": {"extensions": {"trace": 42}},
    "extensions of numbers": {"extensions": {1: 2}},
    "limits that are none": {"extensions": {"timeout": 42}},
    "target with a blank": {"extensions": {"target": b"/a b"}},
    "target with NUL": {"extensions": {"target": b"/\x00"}},
    "target not ASCII": {"extensions": {"target": b"/\xff"}},
    "target with a line break": {"extensions": {"target": b"/ HTTP/1.1\r\nx: y"}},
}


async def test_an_argument_that_cannot_be_sent_is_one_failure(
    client: Any, server: LoopbackServer
) -> None:
    """Nothing of it reaches the server, and no secret the message."""
    requests: list[Any] = []
    for arguments in HOSTILE.values():
        requests += [server.url("/a"), Request(server.url("/bad"), **arguments)]

    # Where a busy machine takes longer, the host is not to be given up for it.
    async with Fetcher(client, timeout=60, retry=None, give_up_host_after=None) as fetcher:
        results = await fetcher.fetch_many(requests)

    kinds = {
        case: getattr(result, "kind", None)
        for case, result in zip(HOSTILE, results[1::2], strict=True)
    }
    expected = dict.fromkeys(HOSTILE, FailureKind.invalid_request)
    assert kinds == {**expected, "auth that fails": FailureKind.callback}
    assert all(result.ok for result in results[::2])
    assert all(failure.attempts <= 1 for failure in results.failures)
    shown = [repr(thing) + str(thing) for f in results.failures for thing in (f, f.error)]
    assert [text for text in shown if "secret" in text] == []
    assert {request.path for request in server.requests} == {"/a"}


@pytest.mark.asyncio_only  # on trio httpx leaves the generator that it sends from to be collected
async def test_a_content_length_that_is_not_true_is_one_failure(
    client: Any, server: LoopbackServer
) -> None:
    """The error is h11's own, which httpcore lets through."""
    request = Request(server.url(), "POST", content=b"abc", headers={"content-length": "1"})

    async with Fetcher(client, timeout=5) as fetcher:
        result = await fetcher.fetch(request)

    assert not result.ok
    assert result.kind == FailureKind.invalid_request


@pytest.mark.parametrize("url", [None, 42, b"http://x/"])
def test_a_request_without_a_url_is_refused_at_once(url: Any) -> None:
    """With a base_url, `None` would otherwise be fetched as a path."""
    with pytest.raises(TypeError, match="url must be"):
        Request(url)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://good.test@{authority}/", "127.0.0.1"),
        ("http://{authority}/#@evil.test/", "127.0.0.1"),
        ("http://{authority}/\\@evil.test/", "127.0.0.1"),
        ("http://{authority}?@evil.test/", "127.0.0.1"),
    ],
)
async def test_a_url_leads_where_its_authority_says(
    client: Any, server: LoopbackServer, url: str, host: str
) -> None:
    """Tricks with user names, fragments and backslashes do not lead elsewhere."""
    authority = server.url().removeprefix("http://").removesuffix("/")

    async with Fetcher(client) as fetcher:
        result = await fetcher.fetch(url.replace("{authority}", authority))

    assert result.ok
    assert result.url is not None
    assert result.url.host == host
    assert len(server.requests) == 1


async def test_secrets_are_in_no_repr(client: Any, server: LoopbackServer) -> None:
    """Not the password of a URL, nor what headers, cookies and authentication hold."""
    url = server.url("/missing").replace("//", "//me:secret@")
    requests = [
        Request(url, headers={"authorization": "secret"}, cookies={"a": "secret"}),
        Request(server.dead_url().replace("//", "//me:secret@"), auth=("me", "secret")),
        Request("ftp://me:secret@127.0.0.1/"),
        Request("http://me:secret@127.0.0.1:99999/"),
        Request("http://me:secret@/"),
    ]
    server.on("/missing", Reply(404))

    async with Fetcher(client, retry=None) as fetcher:
        results = await fetcher.fetch_many(requests)

    shown = [repr(thing) for r in results.failures for thing in (r.request, r.error, r.timing)]
    shown += [str(failure.error) for failure in results.failures]
    assert len(results.failures) == 5
    assert [text for text in shown if "secret" in text.replace("[secure]", "")] == []


@pytest.mark.parametrize("url", ["", "/", "/x", "x", "not a url", "example.org"])
async def test_a_url_without_a_scheme_is_named_with_cookies_at_hand(client: Any, url: str) -> None:
    """Httpx asks urllib which cookies to send, and that knows no relative URLs."""
    if client is not None:
        client.cookies.set("a", "1")
    own = {"cookies": {"a": "1"}} if client is None else {}

    async with Fetcher(client, retry=None, **own) as fetcher:
        result = await fetcher.fetch(url)

    assert isinstance(result, Failure)
    assert type(result.error).__name__ == "UnsupportedProtocol"
    assert str(result.error) == f"the URL must begin with http:// or https://, not {url!r}"


async def test_a_value_in_another_alphabet_is_sent_as_it_is(
    client: Any, server: LoopbackServer
) -> None:
    """A blank within it is none at its end, whatever byte is beside it."""
    request = Request(server.url(), headers=[(b"x-a", b"a\x80 b")])
    async with Fetcher(client, retry=None) as fetcher:
        result = await fetcher.fetch(request)

    assert result.ok
    assert (b"x-a", b"a\x80 b") in server.requests[0].raw_headers


@pytest.mark.parametrize(
    ("authority", "is_one"),
    [
        ("a.test", True),
        ("a.test:80", True),
        ("a.test:", True),
        ("[::1]:80", True),
        ("a.test:+80", False),
        ("a.test: 80", False),
        ("a.test:8_0", False),
        ("a:b:80", False),
    ],
)
def test_a_port_is_of_digits(authority: str, is_one: bool) -> None:
    """`int`, by which httpx reads it, takes more."""
    assert bool(_HOST_AND_PORT.fullmatch(authority)) is is_one
