"""The kinds of failure, each from a real socket, on both libraries."""

from __future__ import annotations

import gzip
import socket
import ssl
import tracemalloc
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest

import asyncbatch
from asyncbatch import FailureKind, Fetcher, Request
from asyncbatch._engine.http11 import InvalidRequest
from asyncbatch._lanes import binding_of
from asyncbatch._lanes.failures._attempt_state import AttemptState
from asyncbatch._lanes.failures._of_client import invalid_outcome, outcome_of
from asyncbatch._lanes.response._phases import PhaseTrace
from asyncbatch._values._body_source import UnreadableBody
from asyncbatch._values._outcome import Outcome
from asyncbatch.testing import Answer, LoopbackServer, Raw, Reply
from tests.unit.lanes.conftest import TRUSTING, failure_of

pytestmark = [pytest.mark.any_loop, pytest.mark.once]

OK = b"HTTP/1.1 200 OK\r\n"


ANSWERS: dict[str, tuple[Answer, FailureKind, str]] = {
    "status 404": (Reply(404), FailureKind.status, "HTTPStatusError"),
    "status 599": (Reply(599), FailureKind.status, "HTTPStatusError"),
    "nothing": (Raw(b""), FailureKind.protocol, "RemoteProtocolError"),
    "reset before the head": (Reply().reset(), FailureKind.protocol, "ReadError"),
    "cut head": (Raw(OK + b"content-len"), FailureKind.protocol, "RemoteProtocolError"),
    "reset in the head": (Reply().reset(head=9), FailureKind.protocol, "ReadError"),
    "garbage": (Raw(b"\x16\x03\x01\x02 hello"), FailureKind.protocol, "RemoteProtocolError"),
    "another protocol": (Raw(b"220 ftp ready\r\n"), FailureKind.protocol, "RemoteProtocolError"),
    "bad header": (Raw(OK + b"bad header\r\n\r\n"), FailureKind.protocol, "RemoteProtocolError"),
    "bad chunk": (
        Raw(OK + b"transfer-encoding: chunked\r\n\r\nxyz\r\n"),
        FailureKind.protocol,
        "RemoteProtocolError",
    ),
    "cut body": (Reply(body=500).cut(body=10), FailureKind.truncated, "TruncatedBody"),
    "body cut at once": (Reply(body=500).cut(body=0), FailureKind.truncated, "TruncatedBody"),
    "reset body": (Reply(body=500).reset(body=10), FailureKind.truncated, "TruncatedBody"),
    "cut chunk": (
        Reply(body=500, framing="chunked", chunk=50).cut(body=60),
        FailureKind.truncated,
        "TruncatedBody",
    ),
    "last chunk missing": (
        Raw(OK + b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n"),
        FailureKind.truncated,
        "TruncatedBody",
    ),
    "cut gzip": (
        Reply(body=b"word " * 99).gzipped().without_tail(9),
        FailureKind.truncated,
        "TruncatedBody",
    ),
    "cut deflate": (
        Reply(body=b"word " * 99).deflated().without_tail(2),
        FailureKind.truncated,
        "TruncatedBody",
    ),
    "corrupt gzip": (
        Reply(body=b"word " * 99).gzipped().corrupted(),
        FailureKind.decode,
        "DecodingError",
    ),
    "no gzip": (
        Reply(body=b"text", headers={"content-encoding": "gzip"}),
        FailureKind.decode,
        "DecodingError",
    ),
    "too many codings": (
        Reply(body=b"text", headers={"content-encoding": ", ".join(["gzip"] * 6)}),
        FailureKind.decode,
        "DecodingError",
    ),
    "loop": (Reply.redirect("/"), FailureKind.redirect, "TooManyRedirects"),
    "bad port in location": (
        Reply.redirect("http://127.0.0.1:x/"),
        FailureKind.redirect,
        "RemoteProtocolError",
    ),
    "no such port in location": (
        Reply.redirect("http://127.0.0.1:99999/"),
        FailureKind.redirect,
        "InvalidURL",
    ),
    "no name in location": (Reply.redirect("http://a b/"), FailureKind.redirect, "InvalidURL"),
    "long label in location": (
        Reply.redirect(f"http://{'a' * 64}.test/"),
        FailureKind.redirect,
        "",
    ),
    "ftp location": (
        Reply.redirect("ftp://127.0.0.1/"),
        FailureKind.redirect,
        "UnsupportedProtocol",
    ),
    "data location": (Reply.redirect("data:,x"), FailureKind.redirect, ""),
    "longer than the limit": (Reply(body=2000), FailureKind.too_large, "BodyTooLarge"),
    "chunked beyond the limit": (
        Reply(body=2000, framing="chunked", chunk=100),
        FailureKind.too_large,
        "BodyTooLarge",
    ),
    "until close, beyond the limit": (
        Reply(body=2000, framing="close"),
        FailureKind.too_large,
        "BodyTooLarge",
    ),
    "absurd length": (
        Raw(OK + b"content-length: 9999999999999999\r\n\r\nx"),
        FailureKind.too_large,
        "BodyTooLarge",
    ),
    "bomb": (Reply(body=50_000_000).gzipped(), FailureKind.too_large, "BodyTooLarge"),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_what_a_server_answers_decides_the_kind(
    client: Any, server: LoopbackServer, case: str
) -> None:
    """A wrong or too large answer is one failure of its kind, and the next one is served."""
    answer, kind, error_name = ANSWERS[case]
    server.on("/", answer)
    server.on("/well", Reply(body=b"well"))

    failure = await failure_of(client, server.url(), max_body=1000)
    async with Fetcher(client, retry=None) as fetcher:
        after = await fetcher.fetch(server.url("/well"))

    assert failure.kind == kind
    assert error_name in (type(failure.error).__name__, "")
    assert after.unwrap().text == "well"


@pytest.mark.parametrize("name", ["EAI_NONAME", "EAI_AGAIN", "EAI_FAIL"])
async def test_a_name_that_does_not_resolve_is_of_kind_dns(
    client: Any, library: Any, offline: Callable[[int], None], name: str
) -> None:
    """The error is ours and the library's at once."""
    offline(getattr(socket, name))

    failure = await failure_of(client, "http://name.invalid/")

    assert failure.kind == FailureKind.dns
    assert isinstance(failure.error, asyncbatch.DNSError)
    assert isinstance(failure.error, library.ConnectError)
    assert failure.error.request.url == "http://name.invalid/"


async def test_only_a_name_that_is_not_ready_yet_is_looked_up_again(
    client: Any, offline: Callable[[int], None]
) -> None:
    """A name that does not exist is tried once, one that the resolver could not ask about again."""
    retry = asyncbatch.Retry(attempts=2, backoff=0)
    tries = []
    for number in (socket.EAI_NONAME, socket.EAI_AGAIN):
        offline(number)
        async with Fetcher(client, retry=retry) as fetcher:
            tries.append((await fetcher.fetch("http://name.invalid/")).attempts)

    assert tries == [1, 2]


async def test_a_refused_connection_is_of_kind_connect(
    client: Any, library: Any, server: LoopbackServer
) -> None:
    """Nobody listens."""
    failure = await failure_of(client, server.dead_url())

    assert failure.kind == FailureKind.connect
    assert isinstance(failure.error, library.ConnectError)


async def test_a_dead_host_behind_a_redirect_is_not_held_against_the_first(
    client: Any, server: LoopbackServer
) -> None:
    """Twenty links to dead hosts do not declare the server of the links down."""
    server.on("/link", Reply.redirect(server.dead_url()))

    async with Fetcher(client, retry=None, give_up_host_after=3) as fetcher:
        results = await fetcher.fetch_many([server.url("/link")] * 20)

    assert {result.kind for result in results.failures} == {FailureKind.connect}
    assert len(results.failures) == 20


async def test_an_untrusted_certificate_is_of_kind_tls(
    library: Any, tls_server: LoopbackServer
) -> None:
    """A certificate of an unknown authority is refused, and not asked for again."""
    strict = ssl.create_default_context()
    async with library.AsyncClient(verify=strict, trust_env=False) as client:
        failure = await failure_of(client, tls_server.url(), retry=asyncbatch.Retry())

    assert failure.kind == FailureKind.tls
    assert isinstance(failure.error, asyncbatch.TLSError)
    assert isinstance(failure.error, library.ConnectError)


async def test_a_certificate_for_another_host_is_of_kind_tls(
    client: Any, tls_server: LoopbackServer
) -> None:
    """The name in the certificate must be the one asked for."""
    failure = await failure_of(client, tls_server.url(host=2))

    assert failure.kind == FailureKind.tls


async def test_a_plain_server_asked_for_tls_is_of_kind_tls(
    client: Any, server: LoopbackServer
) -> None:
    """The handshake gets an answer that is none."""
    failure = await failure_of(client, server.url().replace("http:", "https:"))

    assert failure.kind == FailureKind.tls


@pytest.mark.parametrize("reset", [False, True])
async def test_a_connection_lost_in_the_handshake_is_of_kind_tls(client: Any, reset: bool) -> None:
    """The server accepts, takes the greeting and goes away."""
    import struct

    async def hang_up(stream: Any) -> None:
        await stream.receive()
        if reset:
            raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, hang_up)
            failure = await failure_of(client, f"https://127.0.0.1:{port}/")
            tasks.cancel_scope.cancel()

    assert failure.kind == FailureKind.tls


async def test_a_client_certificate_that_is_asked_for_is_of_kind_tls(library: Any) -> None:
    """TLS 1.3 servers say so only once the handshake is over."""
    from tests.unit.lanes.conftest import AUTHORITY

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    AUTHORITY.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    async with (
        LoopbackServer(ssl_context=context) as server,
        library.AsyncClient(verify=TRUSTING, trust_env=False) as client,
    ):
        failure = await failure_of(client, server.url())

    assert failure.kind == FailureKind.tls


async def test_descriptors_that_have_run_out_are_nobodys_fault(
    client: Any, library: Any, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request waits for better times, and neither a try nor the host's reputation is spent."""
    import errno

    real, fail = library.AsyncHTTPTransport.handle_async_request, iter([True, True])

    async def handle(self: Any, request: Any) -> Any:
        if next(fail, False):
            raise library.ConnectError("too many open files") from OSError(errno.EMFILE, "no more")
        return await real(self, request)

    monkeypatch.setattr(library.AsyncHTTPTransport, "handle_async_request", handle)
    async with Fetcher(client, retry=None, give_up_host_after=1) as fetcher:
        result = await fetcher.fetch(server.url())

    assert result.ok
    assert result.attempts == 1


SLOW: dict[str, tuple[Answer, dict[str, Any]]] = {
    "no head": (Reply().hang(), {}),
    "half a head": (Reply().hang(head=9), {}),
    "half a body": (Reply(body=99).hang(body=9), {}),
    "a dripping head": (
        Reply(headers={"x": "y" * 10_000}).paced(1, every=0.01, head=True),
        {},
    ),
    "a dripping body": (Reply(body=10_000).paced(1, every=0.01), {}),
    "dripping chunks": (Reply(body=9999, framing="chunked", chunk=1).paced(6, every=0.01), {}),
    "a slow redirect": (Reply.redirect("/").delayed(0.03), {"max_redirects": 1000}),
}


@pytest.mark.parametrize("case", SLOW)
async def test_a_slow_server_is_cut_at_the_time_limit(
    library: Any, server: LoopbackServer, case: str
) -> None:
    """No matter how it keeps busy, and the connection is not used again."""
    answer, settings = SLOW[case]
    server.on("/", answer)
    async with library.AsyncClient(
        verify=TRUSTING, follow_redirects=True, trust_env=False, **settings
    ) as client:
        failure = await failure_of(client, server.url(), timeout=0.15)

    assert failure.kind == FailureKind.timeout
    assert isinstance(failure.error, asyncbatch.AttemptTimeout)
    assert isinstance(failure.error, library.TimeoutException)
    assert failure.error.timeout == 0.15
    assert failure.elapsed < 15


async def test_a_connection_that_is_not_made_is_of_kind_timeout(
    client: Any, library: Any, server: LoopbackServer
) -> None:
    """The limit on connecting is shorter than that on the attempt."""
    failure = await failure_of(client, server.silent_url(), connect_timeout=0.05, timeout=20)

    assert failure.kind == FailureKind.timeout
    assert isinstance(failure.error, library.ConnectTimeout)
    assert failure.elapsed < 15


async def test_a_bomb_costs_no_more_memory_than_the_limit(server: LoopbackServer) -> None:
    """100 MB out of 100 KB of gzip: the cap and a constant are all that is ever held."""
    bomb = gzip.compress(bytes(100_000_000), mtime=0)
    server.on("/", Reply(body=bomb, headers={"content-encoding": "gzip"}))
    limit = 1_000_000

    async with Fetcher(max_body=limit, retry=None, verify=TRUSTING) as fetcher:
        await fetcher.fetch(server.url("/warm-up"))
        tracemalloc.start()
        try:
            result = await fetcher.fetch(server.url())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert not result.ok
    assert result.kind == FailureKind.too_large
    assert peak < limit + 3_000_000


async def test_a_wait_that_is_too_long_is_of_kind_retry_after(
    client: Any, library: Any, server: LoopbackServer
) -> None:
    """The value is attached, and the response too."""
    server.on("/", Reply(503, b"later").retry_after(3600))

    failure = await failure_of(client, server.url(), retry=asyncbatch.Retry())

    assert failure.kind == FailureKind.retry_after
    assert isinstance(failure.error, asyncbatch.RetryAfterTooLong)
    assert isinstance(failure.error, library.HTTPStatusError)
    assert failure.error.retry_after == 3600
    assert failure.text == "later"


@pytest.mark.parametrize("status", [204, 304])
async def test_a_response_without_a_body_is_not_too_large(client: Any, status: int) -> None:
    """Its Content-Length speaks of another response; that of an answer to HEAD as well."""
    head = b"HTTP/1.1 %d X\r\ncontent-length: 5000\r\n\r\n" % status
    if status == 204:
        head = b"HTTP/1.1 204 X\r\n\r\n"
    async with LoopbackServer() as server, Fetcher(client, max_body=100) as fetcher:
        server.on("/", Raw(head))
        server.on("/head", Reply(body=5000))
        results = await fetcher.fetch_many([server.url(), Request(server.url("/head"), "HEAD")])

    assert [result.status_code for result in results] == [status, 200]
    assert results.failures == []


async def test_a_status_that_a_hook_refuses_is_of_kind_status(
    library: Any, server: LoopbackServer
) -> None:
    """`raise_for_status` in a response hook is a common idiom; the retries still happen."""
    server.on("/", Reply(503), Reply(body=b"well"))

    async def refuse(response: Any) -> None:
        response.raise_for_status()

    async with (
        library.AsyncClient(event_hooks={"response": [refuse]}, verify=TRUSTING) as client,
        Fetcher(client, retry=asyncbatch.Retry(backoff=0)) as fetcher,
    ):
        result = await fetcher.fetch(server.url())

    assert result.ok
    assert result.history[0].status_code == 503


@pytest.mark.parametrize("error", [AssertionError, KeyError, ValueError])
async def test_what_a_protocol_library_trips_over_is_no_mistake_of_the_request(
    error: Callable[[], Exception],
) -> None:
    """The lines that raise it tell: the same from a transport of the caller's is his."""

    def raise_it(package: str) -> Any:
        names: dict[str, Any] = {"__name__": f"{package}.inner", "error": error}
        exec("def trip(request):\n    raise error()", names)
        core: dict[str, Any] = {"__name__": "httpcore._async.http2", "trip": names["trip"]}
        exec("def pass_on(request):\n    trip(request)", core)
        return names["trip"] if package == "mine" else core["pass_on"]

    kinds = {}
    for package in ("httpcore", "httpcore2", "h2", "socksio", "anyio", "mine"):
        transport = httpx.MockTransport(raise_it(package))
        async with httpx.AsyncClient(transport=transport) as client:
            kinds[package] = (await failure_of(client, "http://a.test/")).kind

    assert kinds.pop("mine") == FailureKind.callback
    assert set(kinds.values()) == {FailureKind.protocol}


async def test_what_a_socks_library_makes_of_a_broken_proxy_is_tried_again() -> None:
    """Through a stock client of the caller's a reply in two pieces is malformed, and not final."""
    exceptions = pytest.importorskip("socksio.exceptions")
    names: dict[str, Any] = {"__name__": "httpcore._async.socks_proxy", **vars(exceptions)}
    exec("def connect(request):\n    raise ProtocolError('Malformed reply')", names)

    retry = asyncbatch.Retry(attempts=2, backoff=0)
    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(names["connect"])) as client,
        Fetcher(client, retry=retry) as fetcher,
    ):
        result = await fetcher.fetch("http://a.test/")

    assert (result.kind, result.attempts) == (FailureKind.protocol, 2)


RAISED: dict[str, tuple[Exception, FailureKind, int, str]] = {
    "proxy": (httpx.ProxyError("502 Bad Gateway"), FailureKind.proxy, 2, "502 Bad Gateway"),
    "refused by the proxy": (httpx.ProxyError("407 Denied"), FailureKind.proxy, 1, "407 Denied"),
    "not decoded": (httpx.DecodingError("bad"), FailureKind.decode, 1, "bad"),
    "value of a header": (
        httpx.LocalProtocolError("Illegal header value b's3cr3t'"),
        FailureKind.invalid_request,
        0,
        "Illegal header value",
    ),
    "body that is gone": (
        UnreadableBody("it is an iterator"),
        FailureKind.invalid_request,
        0,
        "The body cannot be sent again: it is an iterator",
    ),
    "time limit of a socket": (TimeoutError("slow"), FailureKind.timeout, 2, "slow"),
    "reset": (ConnectionResetError("reset"), FailureKind.protocol, 2, "reset"),
    "refused": (ConnectionRefusedError("refused"), FailureKind.connect, 2, "refused"),
    "not connected": (httpx.ConnectError("no route"), FailureKind.connect, 2, "no route"),
}


@pytest.mark.parametrize("case", RAISED)
async def test_an_error_that_a_sending_library_raises_is_sorted_by_its_class(case: str) -> None:
    """The kind decides whether it is tried again, and no text shows a value of a header."""
    error, kind, attempts, text = RAISED[case]
    names: dict[str, Any] = {"__name__": "httpcore._async.connection", "error": error}
    exec("def send(request):\n    raise error", names)

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(names["send"])) as client,
        Fetcher(client, retry=asyncbatch.Retry(attempts=2, backoff=0)) as fetcher,
    ):
        result = await fetcher.fetch("http://a.test/")

    assert (result.kind, result.attempts) == (kind, attempts)
    assert str(result.error) == text


def test_the_notes_of_an_error_show_no_key_of_a_body() -> None:
    """Since Python 3.14 `json` names the way to what it cannot encode, with the keys."""
    error = TypeError("Object of type object is not JSON serializable")
    error.add_note("when serializing list item 1")
    error.add_note("when serializing dict item 's3cr3t'")

    outcome = invalid_outcome(error, binding_of(httpx.AsyncClient()))

    assert outcome.error is error
    assert error.__notes__ == ["when serializing list item 1", "when serializing dict item"]


def state_of(library: Any, **facts: Any) -> AttemptState:
    """Return the state of an attempt that has sent a request."""
    state = AttemptState(PhaseTrace(lambda: 0.0))
    state.note_request(library.Request("GET", "http://a.test/"))
    state.sent = True
    for name, value in facts.items():
        setattr(state, name, value)
    return state


def raised(error: Exception) -> Exception:
    """Return an error with a traceback."""
    try:
        raise error
    except Exception as caught:
        return caught


async def test_a_body_that_ran_out_while_it_was_sent_again_is_consumed(
    client: Any, server: LoopbackServer
) -> None:
    """An object whose iterator is always the same has nothing more to give."""
    server.on("/", Reply(503), Reply())

    class Spent:
        def __init__(self) -> None:
            self.pieces = iter([b"once"])

        def __iter__(self) -> Any:
            return self.pieces

    request = asyncbatch.Request(server.url(), "PUT", content=Spent())
    async with Fetcher(client, retry=asyncbatch.Retry(backoff=0)) as fetcher:
        result = await fetcher.fetch(request)

    assert result.kind == FailureKind.invalid_request
    assert isinstance(result.error, asyncbatch.BodyConsumed)
    assert [request.body for request in server.requests][:1] == [b"once"]


@pytest.mark.parametrize(("redirected", "kind"), [(False, "invalid_request"), (True, "redirect")])
def test_what_the_engine_refuses_behind_a_redirect_is_of_the_redirect(
    library: Any, redirected: bool, kind: str
) -> None:
    """The server has named it."""
    refused, core = InvalidRequest("no"), OSError()
    core.__cause__ = refused
    error = library.LocalProtocolError("no")
    error.__cause__ = core
    state = state_of(library, redirected=redirected, hops=int(redirected))

    outcome = outcome_of(raised(error), state, binding_of(library.AsyncClient()))

    assert outcome.kind == FailureKind(kind)


@pytest.mark.parametrize("of_proxy", [False, True])
async def test_the_target_of_a_redirect_is_not_silent_for_its_proxy(
    library: Any, of_proxy: bool
) -> None:
    """Which has failed in its place."""
    state = state_of(library, redirected=True, hops=1)
    await state.trace("connection.connect_tcp.started", {})
    outcome = Outcome(kind=FailureKind.timeout, of_proxy=of_proxy)

    assert state.is_target_silent(outcome) is not of_proxy
