"""
The loopback server under TLS.
"""

from __future__ import annotations

import contextlib
import json
import ssl

import anyio
import httpx
import pytest
import trustme

from asyncbatch.testing import (
    Behaviour,
    LoopbackServer,
    Raw,
    Reply,
    echo,
)
from tests.unit.testing.raw_client import RawClient

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


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
    # Early releases of Python 3.11 take a cut for an end, and have no class of its own for it.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
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
            cut = "UNEXPECTED_EOF" in str(getattr(error.__cause__, "reason", ""))
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
        # OpenSSL may refuse to say goodbye on a connection that was cut; it is closed then, too.
        with contextlib.suppress(ssl.SSLError):
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


async def test_rubbish_under_tls_is_refused_with_the_closing_alert(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """Once, and the answer arrives whole."""
    async with (
        LoopbackServer(ssl_context=server_context) as server,
        await anyio.connect_tcp(
            "127.0.0.1", server.port, ssl_context=client_context, tls_hostname="127.0.0.1"
        ) as stream,
    ):
        await stream.send(b"rubbish\r\n\r\n")
        content, ending = await receive_tls(stream)

    assert content.startswith(b"HTTP/1.1 400 ")
    assert ending == "close_notify"
