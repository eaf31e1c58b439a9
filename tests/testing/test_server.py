"""
The loopback server over real sockets.
"""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import ssl
import threading

import anyio
import httpx
import pytest
import trustme

from asyncbatch.testing import (
    Behaviour,
    End,
    LoopbackServer,
    Raw,
    RecordedRequest,
    Reply,
    echo,
)
from tests.testing.raw_client import RawClient

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
BODY = Reply(body=b"body")


# Answers


async def test_a_connection_serves_many_requests(client: RawClient) -> None:
    """The connection stays open between answers."""
    for _ in range(3):
        await client.get()
        assert await client.receive_until(b"ok") == OK


async def test_pipelined_requests_are_answered_in_order(
    server: LoopbackServer, client: RawClient
) -> None:
    """Requests that arrive in one piece get their answers one behind the other."""
    server.on("/slow", Reply(body=b"slow").delayed(0.01))
    await client.send(b"GET /slow HTTP/1.1\r\n\r\nGET /other HTTP/1.1\r\n\r\n")

    assert (await client.receive_until(b"ok")).endswith(b"slow" + OK)


@pytest.mark.parametrize(
    ("behaviour", "content", "ending"),
    [
        (BODY.reset(), b"", "RST"),
        (BODY.reset(head=5), HEAD[:5], "RST"),
        (BODY.reset(body=2), HEAD + b"bo", "RST"),
        (BODY.reset(body=4), HEAD + b"body", "RST"),
        (BODY.cut(), b"", "FIN"),
        (BODY.cut(head=5), HEAD[:5], "FIN"),
        (BODY.cut(body=2), HEAD + b"bo", "FIN"),
        (BODY.cut(body=4), HEAD + b"body", "FIN"),
        (Raw(b"rubbish"), b"rubbish", "FIN"),
        (Raw(b"rubbish", End.RESET), b"rubbish", "RST"),
    ],
)
async def test_the_connection_ends_as_told(
    server: LoopbackServer, client: RawClient, behaviour: Behaviour, content: bytes, ending: str
) -> None:
    """A reset is a RST without a FIN before it, a cut is a FIN; what was sent before arrives."""
    server.on("/", behaviour)
    await client.get()

    assert await client.receive_all() == (content, ending)


async def test_a_raw_response_can_keep_the_connection(
    server: LoopbackServer, client: RawClient
) -> None:
    """Behind raw bytes the server can wait for the next request."""
    server.on("/raw", Raw(b"anything", End.KEEP))
    await client.get("/raw")
    await client.receive_until(b"anything")
    await client.get("/")

    assert await client.receive_until(b"ok") == OK


@pytest.mark.parametrize("behaviour", [BODY.hang(), BODY.hang(head=7), BODY.hang(body=1)])
async def test_a_hanging_answer_lasts_until_the_client_goes(
    server: LoopbackServer, behaviour: Behaviour
) -> None:
    """A request without answer stays active, and ends with its connection."""
    server.on("/", behaviour)
    async with RawClient.connect(server) as client:
        await client.get()
        await server.wait_until(lambda seen: seen.active == 1)

    await server.wait_until(lambda seen: seen.active == 0 and seen.open_connections == 0)


async def test_a_client_that_goes_away_ends_a_delay(server: LoopbackServer) -> None:
    """The server does not sit out the delay of an answer that nobody waits for."""
    server.on("/", Reply().delayed(3600))
    async with RawClient.connect(server) as client:
        await client.get()
        await server.wait_until(lambda seen: seen.active == 1)
        client.socket.close()

        await server.wait_until(lambda seen: seen.active == 0 and seen.open_connections == 0)


async def test_a_slow_body_arrives_whole(server: LoopbackServer, client: RawClient) -> None:
    """Pacing changes when bytes come, and nothing else."""
    server.on("/", BODY.paced(1, every=0.001, head=True).delayed(0.001, jitter=0.001))
    await client.get()

    assert await client.receive_until(b"body") == HEAD + b"body"


async def test_a_body_larger_than_all_buffers_arrives(server: LoopbackServer) -> None:
    """The server waits for a client that is slow to read."""
    server.on("/", Reply(body=8_000_000))
    async with httpx.AsyncClient() as client:
        response = await client.get(server.url())

    assert len(response.content) == 8_000_000


async def test_echo_shows_the_request(server: LoopbackServer) -> None:
    """What the client sent comes back as JSON."""
    server.on("/echo", echo)
    async with httpx.AsyncClient() as client:
        response = await client.put(server.url("/echo?a=b"), content="körper", headers={"x": "y"})

    echoed = response.json()
    assert (echoed["method"], echoed["target"], echoed["body"]) == ("PUT", "/echo?a=b", "körper")
    assert ["x", "y"] in echoed["headers"]


async def test_httpx_reads_every_framing_and_coding(server: LoopbackServer) -> None:
    """An independent client understands what the server sends."""
    replies = {
        "/length": BODY,
        "/chunked": Reply(body=b"body", framing="chunked", chunk=1),
        "/close": Reply(body=b"body", framing="close"),
        "/gzip": BODY.gzipped(),
        "/deflate": BODY.deflated(raw=True),
        "/redirect": Reply.redirect("/length"),
    }
    async with httpx.AsyncClient(follow_redirects=True) as client:
        for path, reply in replies.items():
            server.on(path, reply)

            assert (await client.get(server.url(path))).content == b"body"


async def test_a_redirect_can_lead_to_another_host_or_in_a_circle() -> None:
    """Hosts are apart, and a circle is a route to itself."""
    async with LoopbackServer(hosts=2) as server, httpx.AsyncClient() as client:
        server.on("/away", Reply.redirect(server.url("/there", host=2)))
        server.on("/circle", Reply.redirect("/circle"))
        response = await client.get(server.url("/away"), follow_redirects=True)

        assert response.url == server.url("/there", host=2)
        with pytest.raises(httpx.TooManyRedirects):
            await client.get(server.url("/circle"), follow_redirects=True)


async def test_a_function_that_raises_makes_a_500(
    server: LoopbackServer, client: RawClient
) -> None:
    """A mistake in a script is shown to the client, and the server goes on."""

    def wrong(request: RecordedRequest) -> Behaviour:
        raise LookupError(request.target)

    server.on("/wrong", wrong)
    await client.get("/wrong")
    answer = await client.receive_until(b"LookupError('/wrong')")
    await client.get("/")

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert await client.receive_until(b"ok") == OK


@pytest.mark.parametrize("path", ["/none", "/negative"])
async def test_an_answer_of_the_wrong_kind_makes_a_500(
    server: LoopbackServer, client: RawClient, path: str
) -> None:
    """What cannot be sent is shown to the client, and the server goes on."""
    server.on("/none", lambda _: None)  # type: ignore[arg-type, return-value]
    server.on("/negative", lambda _: Reply(body=-1))
    await client.get(path)
    answer = await client.receive_until(b")")
    await client.get("/")

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert await client.receive_until(b"ok") == OK


async def test_a_cut_is_a_fin_with_bytes_unread(server: LoopbackServer, client: RawClient) -> None:
    """More requests on their way do not turn the FIN into a RST."""
    server.on("/", BODY.cut(body=2))
    post = b"POST / HTTP/1.1\r\nContent-Length: 80000\r\n\r\n" + bytes(80_000)
    await client.send(b"GET / HTTP/1.1\r\n\r\n" + post)

    assert await client.receive_all() == (HEAD + b"bo", "FIN")


async def test_rubbish_is_refused_and_the_connection_closed(client: RawClient) -> None:
    """What is no HTTP gets a 400 that arrives although more rubbish comes behind it."""
    await client.send(b"rubbish\r\n\r\n" * 50_000)
    answer, ending = await client.receive_all()

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert ending == "FIN"


async def test_a_client_that_expects_a_100_gets_one(client: RawClient) -> None:
    """The server asks for the body of a request with `Expect: 100-continue`."""
    await client.send(b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
    first = await client.receive_until(b"\r\n\r\n")
    await client.send(b"x")

    assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert await client.receive_until(b"ok") == OK


# Hosts


async def test_hosts_share_a_port_and_are_told_apart() -> None:
    """Each host has its own address, script, record and figures."""
    async with LoopbackServer(hosts=3) as server, httpx.AsyncClient() as client:
        server.on("/", Reply(body=b"two"), host=2)
        bodies = [(await client.get(server.url(host=host))).text for host in (1, 2, 3, 3)]

        assert bodies == ["ok", "two", "ok", "ok"]
        assert server.url("/x", host=3) == f"http://127.0.0.3:{server.port}/x"
        assert [request.host for request in server.requests] == [1, 2, 3, 3]
        assert [server.statistics(host).requests for host in (1, 2, 3)] == [1, 1, 2]


async def test_a_dead_host_refuses_connections(server: LoopbackServer) -> None:
    """On a dead host nobody listens, today and for as long as the server runs."""
    async with httpx.AsyncClient() as client:
        for host in (1, 1, 2):
            with pytest.raises(httpx.ConnectError):
                await client.get(server.dead_url(host=host))

    assert server.dead_url("/x", host=2) == f"http://127.0.0.3:{server.port}/x"


async def test_a_silent_host_never_connects(server: LoopbackServer) -> None:
    """A client of a silent host runs into its connect time-out."""
    async with httpx.AsyncClient(timeout=httpx.Timeout(5, connect=0.05)) as client:
        for _ in range(2):
            with pytest.raises(httpx.ConnectTimeout):
                await client.get(server.silent_url())


@pytest.mark.parametrize("host", [0, 2])
async def test_a_host_that_is_not_there_has_no_url(server: LoopbackServer, host: int) -> None:
    """A wrong number is an error that names the right ones."""
    with pytest.raises(ValueError, match=f"host must be from 1 to 1, not {host}"):
        server.url(host=host)


async def test_a_route_for_a_host_that_is_not_there_is_refused(server: LoopbackServer) -> None:
    """A script that could never apply is an error where it is written."""
    with pytest.raises(ValueError, match="host must be from 1 to 1, not 2"):
        server.on("/", Reply(), host=2)


async def test_a_method_is_named_in_any_case(server: LoopbackServer, client: RawClient) -> None:
    """Methods are in upper case on the wire, whatever the script says."""
    server.on("/", Reply(body=b"put"), method="put")
    await client.get("/", method="PUT")

    assert (await client.receive_until(b"put")).startswith(b"HTTP/1.1 200 ")


async def test_a_path_begins_with_a_slash(server: LoopbackServer) -> None:
    """A path that would run into the port is refused."""
    with pytest.raises(ValueError, match="begins with a slash, not as 'a'"):
        server.url("a")


def test_a_server_has_one_host_or_more() -> None:
    """No hosts at all are a mistake."""
    with pytest.raises(ValueError, match=r"hosts must be from 1 to \d+, not 0"):
        LoopbackServer(hosts=0)


# Record and figures


async def test_requests_are_recorded(server: LoopbackServer, client: RawClient) -> None:
    """A recorded request says what came, when, and on which connection."""
    before = anyio.current_time()
    await client.send(b"POST /a?b HTTP/1.1\r\nA: b\r\nContent-Length: 4\r\n\r\nbody")
    await client.receive_until(b"ok")
    await client.get("/second")
    await client.receive_until(b"ok")
    async with RawClient.connect(server) as other:
        await other.get("/third")
        await other.receive_until(b"ok")

    first, second, third = server.requests
    assert (first.method, first.target, first.body) == ("POST", "/a?b", b"body")
    assert first.headers["a"] == "b"
    assert before <= first.time <= second.time <= anyio.current_time()
    assert first.connection == second.connection != third.connection


async def test_the_record_is_bounded() -> None:
    """Old requests make room for new ones; the figures count them all."""
    async with LoopbackServer(record=2) as server, RawClient.connect(server) as client:
        for path in ("/1", "/2", "/3"):
            await client.get(path)
            await client.receive_until(b"ok")

        assert [request.path for request in server.requests] == ["/2", "/3"]
        assert server.statistics().requests == 3


async def test_figures_know_the_present_and_the_peak() -> None:
    """Requests and connections are counted as of now and at their most, in all and by host."""
    async with LoopbackServer(hosts=2) as server, contextlib.AsyncExitStack() as stack:
        server.on("/hang", Reply().hang())
        clients = [
            await stack.enter_async_context(RawClient.connect(server, host)) for host in (1, 1, 2)
        ]
        for client in clients:
            await client.get("/hang")
        await server.wait_until(lambda seen: seen.active == 3)
        clients[0].socket.close()
        await server.wait_until(lambda seen: seen.open_connections == 2)

        seen, first = server.statistics(), server.statistics(1)
        assert (seen.requests, seen.active, seen.peak_active) == (3, 2, 3)
        assert (seen.connections, seen.open_connections, seen.peak_connections) == (3, 2, 3)
        assert (first.requests, first.active, first.peak_active) == (2, 1, 2)
        assert (first.connections, first.open_connections, first.peak_connections) == (2, 1, 2)


# Dropping


@pytest.mark.parametrize(("reset", "ending"), [(False, "FIN"), (True, "RST")])
@pytest.mark.parametrize("path", ["/", "/hang"])
async def test_connections_can_be_dropped(
    server: LoopbackServer, client: RawClient, reset: bool, ending: str, path: str
) -> None:
    """Idle and busy connections end on command, and new ones are served."""
    server.on("/hang", Reply().hang(head=0))
    await client.get(path)
    await server.wait_until(lambda seen: seen.requests == 1)
    server.drop_connections(reset=reset)
    _, how = await client.receive_all()
    await server.wait_until(lambda seen: seen.open_connections == 0)

    assert how == ending
    async with RawClient.connect(server) as other:
        await other.get()
        assert await other.receive_until(b"ok") == OK


async def test_the_connections_of_one_host_can_be_dropped() -> None:
    """The other hosts' connections stay."""
    async with (
        LoopbackServer(hosts=2) as server,
        RawClient.connect(server, 1) as one,
        RawClient.connect(server, 2) as two,
    ):
        await server.wait_until(lambda seen: seen.connections == 2)
        server.drop_connections(1)

        assert await one.receive_all() == (b"", "FIN")
        await two.get()
        assert await two.receive_until(b"ok") == OK


# Life and death


async def test_closing_ends_connections_in_every_state() -> None:
    """Hanging, slow, stuck and idle connections all end with the server, at once and silently."""
    async with contextlib.AsyncExitStack() as stack:
        async with LoopbackServer() as server:
            server.on("/hang", Reply().hang(body=0))
            server.on("/late", Reply().delayed(3600))
            server.on("/slow", Reply(body=100).paced(1, every=3600))
            server.on("/stuck", Reply(body=50_000_000))
            clients = []
            for path in ("/hang", "/late", "/slow", "/stuck", "/idle"):
                client = await stack.enter_async_context(RawClient.connect(server))
                clients.append(client)
                await client.get(path)
            await server.wait_until(lambda seen: seen.requests == 5 and seen.active == 4)

        assert server.statistics().open_connections == 0
        assert server.statistics().active == 0
        for client in clients:
            await client.receive_all()


async def test_closing_under_load_is_silent() -> None:
    """Clients that go on while the server closes see errors; the server's side sees none."""
    async with anyio.create_task_group() as group:
        async with LoopbackServer(hosts=5) as server:

            async def load(host: int) -> None:
                async with httpx.AsyncClient() as client:
                    with contextlib.suppress(httpx.TransportError):
                        while True:
                            await client.get(server.url(host=host))

            for number in range(20):
                group.start_soon(load, number % 5 + 1)
            await server.wait_until(lambda seen: seen.requests >= 100)

        assert server.statistics().open_connections == 0


async def test_a_process_without_descriptors_accepts_later(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An accept that fails is tried again, and no connection is lost."""
    accept, failures = socket.socket.accept, [errno.EMFILE, errno.ECONNABORTED]

    def failing(listener: socket.socket) -> object:
        if failures:
            raise OSError(failures.pop(), "no descriptor")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", failing)
    async with RawClient.connect(server) as client:
        await client.get()

        assert await client.receive_until(b"ok") == OK
    assert failures == []


async def test_an_error_of_the_caller_is_raised_as_it_is() -> None:
    """The server wraps nothing that is raised within its `with`."""
    with pytest.raises(LookupError, match="mine"):
        async with LoopbackServer():
            raise LookupError("mine")


async def test_a_server_can_be_cancelled() -> None:
    """A cancelled `with` closes the server and lets the cancellation through."""
    with anyio.CancelScope() as scope:
        async with LoopbackServer() as server, RawClient.connect(server) as client:
            await server.wait_until(lambda seen: seen.connections == 1)
            scope.cancel()
            await client.receive()

    assert scope.cancelled_caught
    assert server.statistics().open_connections == 0


async def test_a_server_starts_once() -> None:
    """A second `with` is refused: ports, records and figures are one run's."""
    server = LoopbackServer()
    async with server:
        pass
    with pytest.raises(RuntimeError, match="starts once"):
        async with server:
            pass


def test_a_server_has_no_url_before_it_starts() -> None:
    """The port is not known yet, and the error says what to do."""
    with pytest.raises(RuntimeError, match="has not started"):
        LoopbackServer().url()


async def test_a_server_can_come_back_on_its_port() -> None:
    """A second server takes over the port of a closed one, with old connections about."""
    async with LoopbackServer() as server, RawClient.connect(server) as client:
        # Closed by the server first, so that the system remembers its end for a while.
        await server.wait_until(lambda seen: seen.connections == 1)
        server.drop_connections()
        await client.receive_all()
        port = server.port
    async with LoopbackServer(port=port) as server, RawClient.connect(server) as client:
        await client.get()

        assert server.port == port
        assert await client.receive_until(b"ok") == OK


async def test_a_taken_port_is_an_error(server: LoopbackServer) -> None:
    """The port asked for, or none: no other one is picked."""
    with pytest.raises(OSError, match=r"port|in use"):
        async with LoopbackServer(port=server.port):
            pass


# Threads


def test_a_server_runs_in_a_thread() -> None:
    """Plain code gets a server for the length of a `with`, and no thread stays behind."""
    before = threading.active_count()
    with LoopbackServer(hosts=2).in_thread() as server, httpx.Client() as client:
        server.on("/", Reply(body=b"two"), host=2)
        assert client.get(server.url(host=2)).text == "two"
        assert len(server.requests) == 1
        server.drop_connections(reset=True)
        with pytest.raises(RuntimeError, match="not across threads"):
            anyio.run(server.wait_until, bool)
        server.on("/hang", Reply().hang())
        with pytest.raises(httpx.ReadTimeout):
            client.get(server.url("/hang"), timeout=0.05)

    assert threading.active_count() == before


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "127.0.0.2").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def client_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_tls_carries_the_same_answers(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """Under TLS, httpx reads what it reads without: keep-alive, large bodies, close-delimited."""
    async with (
        LoopbackServer(hosts=2, ssl_context=server_context) as server,
        httpx.AsyncClient(verify=client_context) as client,
    ):
        server.on("/large", Reply(body=2_000_000))
        server.on("/close", Reply(body=b"body", framing="close"))
        server.on("/echo", echo)

        assert (await client.get(server.url(host=2))).text == "ok"
        assert len((await client.get(server.url("/large"))).content) == 2_000_000
        assert (await client.get(server.url("/close"))).text == "body"
        answer = await client.post(server.url("/echo"), content=bytes(100_000))
        assert len(json.loads(answer.content)["body"]) == 100_000


async def receive_tls(stream: anyio.abc.ByteStream) -> tuple[bytes, str]:
    """Return what comes until the connection ends, and how it ends."""
    content = b""
    while True:
        try:
            content += await stream.receive()
        except anyio.EndOfStream:
            return content, "close_notify"
        except anyio.BrokenResourceError as error:
            cut = isinstance(error.__cause__, ssl.SSLEOFError)
            return content, "FIN" if cut else "RST"


@pytest.mark.parametrize(
    ("behaviour", "content", "ending"),
    [
        (Raw(b"close"), b"close", "close_notify"),
        (Raw(b"close").cut(head=2), b"cl", "FIN"),
        (Raw(b"close").reset(head=2), b"cl", "RST"),
    ],
)
async def test_tls_ends_as_told(
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
    behaviour: Behaviour,
    content: bytes,
    ending: str,
) -> None:
    """A close in good order is a close_notify, a cut is a truncation, a reset a RST."""
    async with LoopbackServer(ssl_context=server_context) as server:
        server.on("/", behaviour)
        stream = await anyio.connect_tcp(
            "127.0.0.1", server.port, ssl_context=client_context, tls_hostname="127.0.0.1"
        )
        await stream.send(b"GET / HTTP/1.1\r\n\r\n")
        received = await receive_tls(stream)
        await anyio.aclose_forcefully(stream)

        assert received == (content, ending)


async def test_a_client_that_distrusts_the_certificate_is_no_trouble(
    server_context: ssl.SSLContext,
) -> None:
    """A handshake that fails ends its connection and nothing else."""
    async with LoopbackServer(ssl_context=server_context) as server, httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(server.url())
        await server.wait_until(lambda seen: seen.connections == 1 and seen.open_connections == 0)
        async with httpx.AsyncClient(verify=False) as careless:
            assert (await careless.get(server.url())).text == "ok"


async def test_plain_text_on_a_tls_port_is_no_trouble(server_context: ssl.SSLContext) -> None:
    """What is no TLS ends its connection and nothing else."""
    async with (
        LoopbackServer(ssl_context=server_context) as server,
        RawClient.connect(server) as client,
    ):
        await client.get()
        await client.receive_all()

        assert server.statistics().requests == 0
