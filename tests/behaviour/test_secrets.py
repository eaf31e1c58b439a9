"""
Credentials are shown nowhere: one marker in each place where a secret may stand, and every text.

A secret is what authenticates: `auth`, the user name and password of a URL, `Authorization`,
`Proxy-Authorization`, `Cookie`, `Set-Cookie`, API keys in headers, and what is in a body.
"""

from __future__ import annotations

import logging
import traceback
import warnings
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from asyncbatch import FailureKind, Fetcher, HTTPTransport, Request, Results, Retry
from asyncbatch._cli._lines import json_line, plain_line
from asyncbatch.testing import LoopbackServer, Raw, Reply
from tests import spellings

pytestmark = [pytest.mark.any_loop, pytest.mark.once]

MARKER = "s3cr3t"

HEADERS = {
    "authorization": f"Bearer {MARKER}",
    "proxy-authorization": f"Basic {MARKER}",
    "cookie": f"session={MARKER}",
    "x-api-key": MARKER,
}


@pytest.fixture(params=["direct", "engine", "httpx", "httpx2"])
def client(request: pytest.FixtureRequest) -> Any:
    """Return a client for each lane: none for the direct one, one on the engine, and stock ones."""
    if request.param == "direct":
        return None
    library = httpx if request.param == "engine" else pytest.importorskip(request.param)
    transport = HTTPTransport() if request.param == "engine" else None
    return library.AsyncClient(transport=transport, trust_env=False, follow_redirects=True)


def answers(server: LoopbackServer) -> list[str]:
    """Have the server fail in its every way, with a cookie where it can, and return the paths."""
    secret = {"set-cookie": f"id={MARKER}", "www-authenticate": "Basic"}
    raw = f"HTTP/1.1 200 OK\r\nSet-Cookie: id={MARKER}\r\n".encode()
    server.on("/ok", Reply(200, b"x", secret))
    server.on("/404", Reply(404, b"x", secret))
    server.on("/401", Reply(401, b"x", secret))
    server.on("/429", Reply(429, b"x", secret).retry_after(9999))
    server.on("/503", Reply(503, b"x", secret))
    server.on("/loop", Reply.redirect("/loop").with_header("set-cookie", f"id={MARKER}"))
    server.on("/ftp", Reply.redirect(f"ftp://me:{MARKER}@x/"))
    server.on("/nowhere", Reply.redirect(f"http://me:{MARKER}@127.0.0.1:99999/"))
    server.on("/large", Reply(200, b"x" * 5000, secret))
    server.on("/corrupt", Reply(200, b"x" * 50, {**secret, "content-encoding": "gzip"}))
    server.on("/cut", Raw(raw + b"Content-Length: 50\r\n\r\nab"))
    server.on("/chunk", Raw(raw + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"))
    server.on("/rubbish", Raw(b"rubbish\r\n\r\n"))
    server.on("/control", Raw(raw + b"Content-Length: 0\r\nX: a\x01\r\n\r\n"))
    server.on("/slow", Reply(200, b"x", secret).delayed(5))
    names = "ok 404 401 429 503 loop ftp nowhere large corrupt cut chunk rubbish control"
    return [f"/{name}" for name in names.split()]


def requests(server: LoopbackServer, paths: list[str]) -> list[Any]:
    """Return requests with a secret in every place, to every answer, and those that end earlier."""
    urls = [server.url(path) for path in paths] + [server.dead_url(), "http://name.invalid/"]
    urls += ["https" + server.url()[4:]]
    inside = [url.replace("://", f"://me:{MARKER}@") for url in urls]
    found: list[Any] = [*inside, *map(httpx.URL, inside)]
    found += [Request(url, headers=HEADERS) for url in urls]
    found += [Request(url, auth=("me", MARKER), cookies={"session": MARKER}) for url in urls]
    found += [Request(url, "POST", content=MARKER.encode(), headers=HEADERS) for url in urls]
    found += [httpx.Request("GET", url, headers=HEADERS) for url in inside]
    slow = server.url("/slow")
    found += [Request(slow.replace("://", f"://me:{MARKER}@"), timeout=0.05, headers=HEADERS)]
    ok = server.url("/ok")
    refused: list[dict[str, Any]] = [
        {"headers": {"authorization": f"{MARKER}\n"}},
        {"headers": {"authorization": f"{MARKER}\x00"}},
        {"headers": {"authorization": f"{MARKER}\u2603"}},
        {"headers": {"authorization": f"{MARKER}\ud800"}},
        {"headers": [("authorization", MARKER, MARKER)]},
        {"headers": f"authorization: {MARKER}"},
        {"cookies": {"session": f"{MARKER}\r\n"}},
        {"cookies": {"session": f"{MARKER}\u2603"}},
        {"cookies": f"session={MARKER}"},
        {"auth": MARKER},
        {"auth": ("me", MARKER, MARKER)},
        {"auth": ("me", f"{MARKER}\ud800")},
        {"auth": {"me": MARKER}},
        {"content": f"{MARKER}\ud800", "method": "POST"},
        {"data": {"password": f"{MARKER}\ud800"}, "method": "POST"},
        {"json": {MARKER: object()}, "method": "POST"},
    ]
    found += [Request(ok, **arguments) for arguments in refused]
    malformed = [
        "ftp://me:{}@x/",
        "http://me:{}@/",
        "http://me:{}@x:99999/",
        "http://me:{}@x:8o/",
        "http://me:{}/@x/",
        "http://me:{}#@x/",
        "http://me:{}?@x/",
        "http://me:{}@x@x/",
        "http://me:{}\\@x/",
        "http://me:{}@a b/",
        "http://me:{}@[::1/",
        "http://me:{}@xn--/",
        "http://me:{}@\u2603\u200d/",
        "http://me:{}@256.1.1.1/",
        "//me:{}@x/",
        "me:{}@x/",
        "me:{}@x:80",
        "mailto:{}@x",
        "http://{}@x:y/",
        "http://me:{}@x/\x00",
    ]
    found += [each.format(MARKER) for each in malformed]
    found += [f"http://me:{MARKER}@x/".encode(), [f"http://me:{MARKER}@x/"]]
    return found


def texts(results: Results) -> Iterator[tuple[str, str]]:
    """Yield every text that there is of results, with its place."""
    yield "repr of all", repr(results) + str(results)
    yield "summary", str(results.summary()) + repr(results.summary())
    for result in results:
        yield "repr", repr(result) + str(result)
        yield "request", repr(result.request) + str(result.request)
        yield "history", repr(result.history) + repr(result.timing)
        yield "line", plain_line(result)
        yield "record", json_line(result)
    for failure in results.failures:
        error = failure.error
        yield "error", repr(error) + str(error)
        yield "traceback", "".join(traceback.format_exception(error))
        with pytest.raises(Exception) as caught:  # noqa: PT011  # of any kind
            failure.unwrap()
        yield "raised", "".join(traceback.format_exception(caught.value))
    try:
        results.raise_for_failures()
    except ExceptionGroup as group:
        yield "group", repr(group) + "".join(traceback.format_exception(group))


async def test_no_text_shows_a_secret(
    client: Any, server: LoopbackServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Results, errors, tracebacks, logs, warnings, records and lines, in every kind of failure."""
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.DEBUG, logger="asyncbatch")
    options: dict[str, Any] = {
        "timeout": 10,
        "max_redirects": 2,
        "max_body": 4000,
        "retry": Retry(attempts=2, backoff=0),
        "give_up_host_after": None,
    }
    if client is None:
        options |= {"headers": HEADERS, "trust_env": False}
    shown: list[tuple[str, str]] = []
    progress: list[Any] = []

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        async with Fetcher(client, progress=progress.append, **options) as fetcher:
            shown.append(("fetcher", repr(fetcher) + repr(fetcher.statistics())))
            results = await fetcher.fetch_many(requests(server, answers(server)))
        if client is not None:
            await client.aclose()

    shown += texts(results)
    shown += [("log", record.getMessage()) for record in caplog.records]
    shown += [("warning", str(warning.message)) for warning in warned]
    shown += [("progress", repr(each)) for each in progress]
    assert {*(failure.kind for failure in results.failures)} >= {
        FailureKind.status,
        FailureKind.retry_after,
        FailureKind.redirect,
        FailureKind.too_large,
        FailureKind.truncated,
        FailureKind.protocol,
        FailureKind.decode,
        FailureKind.timeout,
        FailureKind.connect,
        FailureKind.dns,
        FailureKind.tls,
        FailureKind.invalid_request,
    }
    assert any(place == "log" for place, _ in shown)
    assert [(place, text) for place, text in shown if MARKER in text] == []


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
async def test_no_text_shows_a_password_of_a_misspelt_url(
    library: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever becomes of it: refused, as most are, or sent in another sense than was meant."""
    caplog.set_level(logging.INFO)
    module: Any = pytest.importorskip(library)
    transport = module.MockTransport(lambda request: module.Response(404))
    spelt = spellings.misspelt()[::20]
    given = [*spelt, *(Request(url, tag=1) for url in spelt), *([url] for url in spelt)]

    async with (
        module.AsyncClient(transport=transport, trust_env=False) as client,
        Fetcher(client, retry=None) as fetcher,
    ):
        results = await fetcher.fetch_many(given)

    shown = [*texts(results), *(("log", record.getMessage()) for record in caplog.records)]
    assert len(results) == len(given)
    assert [(place, text) for place, text in shown if spellings.SECRET in text] == []


@pytest.mark.parametrize("url", spellings.misspelt()[::100])
async def test_no_refusal_shows_a_password(url: str) -> None:
    """Where a URL is given in the place of something else."""
    async with Fetcher(trust_env=False) as fetcher:
        with pytest.raises(TypeError) as single:
            await fetcher.fetch_many(url)
        with pytest.raises(TypeError) as several:
            await fetcher.fetch([url])  # type: ignore[arg-type]  # on purpose
    caught: list[pytest.ExceptionInfo[Any]] = [single, several]
    for option in ("base_url", "proxy", "verify"):
        try:
            Fetcher(trust_env=False, **{option: url})  # type: ignore[misc]  # one at a time
        except Exception as error:
            caught.append(pytest.ExceptionInfo.from_exception(error))

    shown = ["".join(traceback.format_exception(each.value)) for each in caught]
    assert [text for text in shown if spellings.SECRET in text] == []
