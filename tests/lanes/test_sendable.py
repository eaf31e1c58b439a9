"""What cannot be sent: every input has exactly one result, and no connection is made for it."""

from __future__ import annotations

from typing import Any

import pytest

from asyncbatch import FailureKind, Fetcher, Request
from asyncbatch.testing import LoopbackServer, Reply

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
    "http://127.0.0.1/" + "a" * 8_000_000,
    None,
    42,
    b"http://127.0.0.1/",
    ["http://127.0.0.1/"],
    object,
]


@pytest.mark.parametrize("url", URLS, ids=lambda url: ascii(url)[:40])
async def test_a_url_that_cannot_be_fetched_is_one_failure(
    client: Any, server: LoopbackServer, url: Any
) -> None:
    """Among good ones, as in a list that strangers wrote."""
    if isinstance(url, str):
        url = url.replace("{base}", server.url())

    async with Fetcher(client, timeout=5) as fetcher:
        results = await fetcher.fetch_many([server.url(), url, server.url()])

    assert [result.ok for result in results] == [True, False, True]
    assert results.failures[0].kind == FailureKind.invalid_request
    assert results.failures[0].attempts <= 1
    assert len(repr(results.failures[0])) < 9_000_000
    assert server.statistics().requests == 2


HOSTILE: dict[str, dict[str, Any]] = {
    "method with a blank": {"method": "GE T"},
    "method with a line break": {"method": "GET / HTTP/1.1\r\nx: y\r\n\r\nGET"},
    "method with NUL": {"method": "GET\x00"},
    "empty method": {"method": ""},
    "method not ASCII": {"method": "GÉT"},
    "method with a surrogate": {"method": "G\ud800T"},
    "value with a line break": {"headers": {"x": "a\r\nb: c"}},
    "value with LF": {"headers": {"x": "a\nb"}},
    "value with CR": {"headers": {"x": "a\rb"}},
    "value with NUL": {"headers": {"x": "a\x00b"}},
    "value with a control character": {"headers": {"x": "a\x01b"}},
    "value with a blank at the end": {"headers": {"authorization": "Bearer secret\n"}},
    "value with a surrogate": {"headers": {"x": "\ud800"}},
    "value that is no text": {"headers": {"x": 5}},
    "name with a line break": {"headers": {"a\r\nb": "c"}},
    "name with a colon": {"headers": {"a:b": "c"}},
    "name with a blank": {"headers": {"a b": "c"}},
    "empty name": {"headers": {"": "c"}},
    "name not ASCII": {"headers": {"ü": "c"}},
    "headers that are none": {"headers": 42},
    "cookie with a line break": {"cookies": {"a": "b\r\nc: d"}},
    "params that are none": {"params": 42},
    "body that is none": {"method": "POST", "content": 42},
    "JSON that is none": {"method": "POST", "json": object()},
    "form that is none": {"method": "POST", "data": 42},
    "files that are none": {"method": "POST", "files": {"a": 42}},
    "auth that is none": {"auth": 42},
    "auth that fails": {"auth": lambda _: 1 // 0},
    "time limit below zero": {"timeout": -1},
    "time limit that is none": {"timeout": "soon"},
    "extensions that are none": {"extensions": 42},
    "trace that is none": {"extensions": {"trace": 42}},
    "target with a line break": {"extensions": {"target": b"/ HTTP/1.1\r\nx: y"}},
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_an_argument_that_cannot_be_sent_is_one_failure(
    client: Any, server: LoopbackServer, case: str
) -> None:
    """Nothing of it reaches the server, and no secret the message."""
    request = Request(server.url(), **HOSTILE[case])

    async with Fetcher(client, timeout=5) as fetcher:
        results = await fetcher.fetch_many([server.url("/a"), request, server.url("/b")])

    assert [result.ok for result in results] == [True, False, True]
    failure = results.failures[0]
    assert failure.kind == FailureKind.invalid_request, failure
    assert failure.attempts <= 1
    assert "secret" not in repr(failure) + str(failure.error) + repr(failure.error)
    assert {request.path for request in server.requests} == {"/a", "/b"}


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
