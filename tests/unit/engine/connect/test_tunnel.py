"""Asking a proxy for a connection, over a transport that the test answers on."""

from __future__ import annotations

from typing import Any

import pytest

from asyncbatch._engine._errors import ProxyFailed
from asyncbatch._engine._event_loop import running_loop
from asyncbatch._engine.connect._tunnel import SocksRefused, open_tunnel
from asyncbatch._engine.io._replies import Replies
from asyncbatch._values._proxy import proxy_of

HTTP = proxy_of("http://u:p@proxy.test:3128")
SOCKS = proxy_of("socks5://proxy.test:1080")

CONNECTED = b"HTTP/1.1 200 OK\r\n\r\n"
METHOD, SOCKS_CONNECTED = b"\x05\x00", b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"


class Transport:
    """Answers each write with the next of its answers; `None` is the end."""

    def __init__(self, *answers: bytes | Exception | None) -> None:
        self.answers = list(answers)
        self.written = b""
        self.events: list[str] = []
        self.replies: Any = None

    def listen(self, _: Any) -> Replies:
        self.replies = Replies(running_loop())
        return self.replies

    def write(self, content: bytes) -> None:
        self.written += content
        if self.answers:
            self.answer(self.answers.pop(0))

    def answer(self, answer: bytes | Exception | None) -> None:
        if isinstance(answer, bytes):
            self.replies.received(answer)
        else:
            self.replies.connection_lost(answer)

    def pause_reading(self) -> None:
        self.events.append("pause")

    def abort(self) -> None:
        self.events.append("abort")

    def get_extra_info(self, name: str) -> None:
        return None


async def ask(transport: Any, proxy: Any = HTTP, host: str = "a.test") -> bool:
    return await open_tunnel(transport, transport.listen, proxy, host, 443)


async def test_an_http_proxy_is_asked_to_connect() -> None:
    """With what lets it in; and then the transport is left alone."""
    transport = Transport(CONNECTED)

    assert await ask(transport)
    assert transport.events == ["pause"]
    assert transport.written.startswith(b"CONNECT a.test:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dTpw\r\n" in transport.written


async def test_a_socks_proxy_is_asked_to_connect() -> None:
    """In two steps."""
    transport = Transport(METHOD, SOCKS_CONNECTED)

    assert await ask(transport, SOCKS, "127.0.0.1")
    assert transport.events == ["pause"]
    assert transport.written.startswith(b"\x05")


@pytest.mark.parametrize(
    ("status", "is_lasting"), [(b"403 No", False), (b"407 Auth", True), (b"502 Bad", False)]
)
async def test_a_refusal_is_told_with_its_status(status: bytes, is_lasting: bool) -> None:
    """Of other credentials it would be of use to ask again, of the same not."""
    transport = Transport(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(ProxyFailed) as caught:
        await ask(transport)

    assert caught.value.status == int(status[:3])
    assert caught.value.is_lasting is is_lasting
    assert transport.events == ["abort"]
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize(
    ("proxy", "answers"),
    [
        (HTTP, [b"SSH-2.0\r\n\r\n"]),
        (HTTP, [b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000]),
        (HTTP, [None]),
        (HTTP, [ConnectionResetError("reset")]),
        (HTTP, [CONNECTED + b"surplus"]),
        (SOCKS, [b"\x04\x00"]),
        (SOCKS, [METHOD, None]),
        (SOCKS, [METHOD, SOCKS_CONNECTED + b"surplus"]),
    ],
    ids=["no HTTP", "endless", "closed", "reset", "surplus", "no SOCKS", "SOCKS closed", "more"],
)
async def test_a_proxy_that_does_not_speak_as_one_is_at_fault(
    proxy: Any, answers: list[Any]
) -> None:
    """Whatever it does; the connection is closed."""
    transport = Transport(*answers)
    with pytest.raises(ProxyFailed) as caught:
        await ask(transport, proxy)

    assert caught.value.proxy == proxy.label
    assert transport.events == ["abort"]


async def test_an_address_that_a_proxy_cannot_reach_may_have_another() -> None:
    """That is told apart."""
    transport = Transport(METHOD, b"\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00")
    with pytest.raises(SocksRefused):
        await ask(transport, SOCKS, "127.0.0.1")


async def test_a_tunnel_that_ends_at_once_is_none() -> None:
    """Be that the proxy's doing or the origin's."""
    transport = Transport()

    def write(content: bytes) -> None:
        transport.answer(CONNECTED)
        transport.answer(None)

    transport.write = write  # type: ignore[method-assign]

    assert not await ask(transport)
    assert transport.events == ["abort"]
