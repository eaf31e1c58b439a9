"""
`open_tunnel`: asks a proxy for a connection to an origin.

`_socks5` and `http11` encode and parse the messages. This module moves them, and reports every
fault as the proxy's.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TypeAlias

from asyncbatch._engine._errors import ProxyFailed
from asyncbatch._engine.connect._socks5 import Socks5Protocol, SocksFault
from asyncbatch._engine.http11 import (
    ConnectReply,
    ProtocolError,
    ResponseTooLarge,
    encode_connect,
)
from asyncbatch._engine.io._replies import Replies
from asyncbatch._engine.io._transport import Transport
from asyncbatch._values._proxy import Proxy

Listen: TypeAlias = Callable[[Transport], Replies]


async def open_tunnel(
    transport: Transport, listen: Listen, proxy: Proxy, host: str, port: int
) -> bool:
    """
    Ask the proxy at the other end to connect to an origin.

    Afterwards the transport is paused, and has no unread bytes from before.

    Args:
        transport: The connection to the proxy; aborted if there is an error.
        listen: Makes `Replies` its owner.
        proxy: The proxy.
        host: The name or address to connect to.
        port: The port to connect to.

    Returns:
        Whether the tunnel is still open. If not, the proxy or the origin ended it at once.

    Raises:
        ProxyFailed: The proxy does not connect.
        SocksRefused: It does not, but another address may be reachable.
        InvalidRequest: The header fields for the proxy cannot be sent.
    """
    ask = _ask_socks if proxy.is_socks else _ask_http
    try:
        replies = listen(transport)
        surplus = await ask(transport, replies, proxy, host, port)
        if surplus or replies.has_more or _has_unread(transport):
            # The origin was sent nothing yet, and HTTP servers do not speak first.
            raise ProxyFailed(proxy.label, "it sends something before the server is asked for it")
        if replies.has_ended:
            transport.abort()
            return False
        transport.pause_reading()
    except OSError as exc:
        transport.abort()
        raise ProxyFailed(proxy.label, str(exc) or type(exc).__name__) from exc
    except BaseException:
        transport.abort()
        raise
    return True


def _has_unread(transport: Transport) -> bool:
    """Whether the kernel has unread bytes from the peer, not only their end."""
    sock = transport.get_extra_info("socket")
    if not isinstance(sock, socket.socket) or transport.get_extra_info("ssl_object") is not None:
        # The event loop has reported all that it received; and TLS records may contain no bytes.
        return False
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except OSError:  # nothing to read, or a reset
        return False


class SocksRefused(ProxyFailed):
    """The proxy cannot reach the address; another one may be reachable."""


async def _ask_http(
    transport: Transport, replies: Replies, proxy: Proxy, host: str, port: int
) -> bytes:
    transport.write(encode_connect(host, port, proxy.fields))
    reply = ConnectReply()
    while True:
        content = await _received(replies, proxy)
        try:
            is_whole = reply.receive(content)
        except (ProtocolError, ResponseTooLarge) as exc:
            raise ProxyFailed(proxy.label, str(exc)) from exc
        if is_whole:
            break
    head = reply.head
    assert head is not None
    if not 200 <= head.status < 300:
        reason = head.reason.decode("latin-1")
        raise ProxyFailed(
            proxy.label,
            f"it answers {head.status} {reason}".rstrip() + f" to CONNECT {host}:{port}",
            status=head.status,
            is_lasting=head.status == 407,
        )
    return reply.surplus


async def _ask_socks(
    transport: Transport, replies: Replies, proxy: Proxy, host: str, port: int
) -> bytes:
    try:
        protocol = Socks5Protocol(host, port, proxy.credentials)
        transport.write(protocol.greeting())
        while not protocol.is_done:
            answer = protocol.receive(await _received(replies, proxy))
            if answer:
                transport.write(answer)
    except SocksFault as exc:
        kind = SocksRefused if exc.may_try_other else ProxyFailed
        raise kind(proxy.label, str(exc), is_lasting=exc.wants_credentials) from exc
    return protocol.surplus


async def _received(replies: Replies, proxy: Proxy) -> bytes:
    content = await replies.receive()
    if not content:
        raise ProxyFailed(proxy.label, "it closed the connection before it had answered")
    return content
