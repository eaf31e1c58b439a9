"""
How a connection of the loopback server answers, over real sockets.
"""

from __future__ import annotations

import httpx
import pytest

from asyncbatch.testing import (
    Behaviour,
    End,
    LoopbackServer,
    Raw,
    RecordedRequest,
    Reply,
    echo,
)
from tests.unit.testing.raw_client import RawClient

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
BODY = Reply(body=b"body")


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


async def test_what_comes_during_a_delay_is_kept(server: LoopbackServer, client: RawClient) -> None:
    """A second request may be sent before the first is answered."""
    server.on("/slow", Reply(body=b"slow").delayed(0.05))
    await client.get("/slow")
    await server.wait_until(lambda seen: seen.active == 1)
    await client.get("/next")
    content = await client.receive_until(b"ok")

    assert content.index(b"slow") < content.index(b"ok")
