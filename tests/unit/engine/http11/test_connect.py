"""The reply to a CONNECT: whole, byte by byte, and cut at every place."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from asyncbatch._engine.http11 import (
    ConnectReply,
    InvalidRequest,
    ProtocolError,
    ResponseTooLarge,
    encode_connect,
)

# The bytes, the status, and what belongs to the tunnel.
REPLIES: dict[str, tuple[bytes, int, bytes]] = {
    "made": (b"HTTP/1.1 200 Connection established\r\n\r\n", 200, b""),
    "made, without a reason": (b"HTTP/1.0 200\r\nVia: x\r\n\r\n", 200, b""),
    "any 2xx": (b"HTTP/1.1 204 Fine\r\n\r\n", 204, b""),
    "a length that means nothing": (
        b"HTTP/1.1 200 Ok\r\nContent-Length: 5\r\n\r\nabc",
        200,
        b"abc",
    ),
    "chunks that mean nothing": (
        b"HTTP/1.1 200 Ok\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        200,
        b"0\r\n\r\n",
    ),
    "behind others": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 Ok\r\n\r\nmore",
        200,
        b"more",
    ),
    "another protocol": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nx", 101, b"x"),
    "refused": (b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", 403, b"no"),
    "credentials wanted": (b"HTTP/1.1 407 Who\r\n\r\n", 407, b""),
    "a head like that of a tunnel in the tunnel": (
        b"HTTP/1.1 200 Ok\r\n\r\nHTTP/1.1 200 Ok\r\n\r\n",
        200,
        b"HTTP/1.1 200 Ok\r\n\r\n",
    ),
}


def fed(pieces: Iterable[bytes]) -> ConnectReply:
    """Feed a reply, and go on behind its end."""
    reply = ConnectReply()
    for piece in pieces:
        is_whole = reply.receive(piece)
        assert is_whole is (reply.head is not None)
    return reply


@pytest.mark.parametrize("name", REPLIES)
def test_it_is_read_however_it_comes(name: str) -> None:
    """Nothing behind it is lost."""
    sent, status, surplus = REPLIES[name]
    cuts = [(sent[:at], sent[at:]) for at in range(len(sent) + 1)]

    for pieces in [(sent,), *cuts, [bytes([byte]) for byte in sent]]:
        reply = fed(pieces)
        assert reply.head is not None
        assert (reply.head.status, reply.surplus) == (status, surplus)


@pytest.mark.parametrize("name", REPLIES)
def test_half_of_it_is_none(name: str) -> None:
    """Up to the last byte of its head."""
    sent, _, surplus = REPLIES[name]
    for end in range(len(sent) - len(surplus)):
        assert fed([sent[:end]]).head is None


@pytest.mark.parametrize(
    "sent",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"220 mail.test\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2OO Ok\r\n\r\n",
        b"HTTP/1.1 200 Ok\nVia: x\n\n",
        b"HTTP/1.1 200 Ok\r\nX: a\rb\r\n\r\n",
        b"HTTP/1.1 200 Ok\r\n folded: x\r\n\r\n",
        b"HTTP/1.1 200 Ok\r\nX y: z\r\n\r\n",
        b"\x05\x00",
        b"\x16\x03\x01",
        b"\x00",
    ],
)
def test_what_is_none_is_refused(sent: bytes) -> None:
    """As soon as it cannot become one, in whatever pieces it comes."""
    for pieces in ([sent], [bytes([byte]) for byte in sent]):
        with pytest.raises(ProtocolError):
            fed(pieces)


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 Ok\r\n" + b"X: y\r\n" * 20_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000,
        b"HTTP/1.1 200 Ok\r\n" + b"X: y\r\n" * 300 + b"\r\n",
    ],
)
def test_one_without_end_is_refused(sent: bytes) -> None:
    """By the limits of any head."""
    with pytest.raises(ResponseTooLarge):
        fed(sent[at : at + 1000] for at in range(0, len(sent), 1000))


def test_the_request_names_the_host_twice() -> None:
    """In its target and as `Host` (RFC 9112 §3.2), an IPv6 address in brackets, and the port."""
    assert encode_connect("a.test", 443, [(b"X-A", b"b")]) == (
        b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nX-A: b\r\n\r\n"
    )
    assert encode_connect("::1", 8443, []) == (
        b"CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n"
    )


def test_no_field_can_end_the_head() -> None:
    """Of those that a caller has given for the proxy."""
    with pytest.raises(InvalidRequest):
        encode_connect("a.test", 443, [(b"X-A", b"b\r\nHost: evil")])
