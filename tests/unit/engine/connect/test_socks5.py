"""SOCKS5 by its bytes: whole, byte by byte, and cut at every place."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from asyncbatch._engine.connect._socks5 import Socks5Protocol, SocksFault

USER = (b"user", b"pass")
BY_USER = b"\x01\x04user\x04pass"
BEHIND = b"HTTP/1.1 200 OK"

# Credentials, the host, what the proxy sends, and what is sent to it behind the greeting.
TALKS: dict[str, tuple[tuple[bytes, bytes] | None, str, bytes, bytes]] = {
    "a name": (
        None,
        "a.test",
        b"\x05\x00" + b"\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38",
        b"\x05\x01\x00\x03\x06a.test\x00\x50",
    ),
    "an address of IPv4, and a name for the proxy's": (
        None,
        "10.0.0.1",
        b"\x05\x00" + b"\x05\x00\x00\x03\x04name\x04\x38",
        b"\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x50",
    ),
    "addresses of IPv6": (
        None,
        "2001:db8::1",
        b"\x05\x00" + b"\x05\x00\x00\x04" + bytes(range(16)) + b"\x04\x38",
        b"\x05\x01\x00\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01\x00\x50",
    ),
    "an empty name for the proxy's": (
        None,
        "b",
        b"\x05\x00" + b"\x05\x00\x00\x03\x00\x04\x38",
        b"\x05\x01\x00\x03\x01b\x00\x50",
    ),
    "a password": (
        USER,
        "b",
        b"\x05\x02\x01\x00" + b"\x05\x00\x00\x01" + bytes(6),
        BY_USER + b"\x05\x01\x00\x03\x01b\x00\x50",
    ),
    "a password, and a verdict of another version": (
        USER,
        "b",
        b"\x05\x02\x05\x00" + b"\x05\x00\x00\x01" + bytes(6),
        BY_USER + b"\x05\x01\x00\x03\x01b\x00\x50",
    ),
    "a password that is not wanted": (
        USER,
        "b",
        b"\x05\x00" + b"\x05\x00\x00\x01" + bytes(6),
        b"\x05\x01\x00\x03\x01b\x00\x50",
    ),
}


def talk(
    pieces: Iterable[bytes], credentials: tuple[bytes, bytes] | None, host: str
) -> tuple[Socks5Protocol, bytes]:
    """Return a protocol that has received these pieces, and what it has sent."""
    protocol = Socks5Protocol(host, 80, credentials)
    sent = b"".join([protocol.receive(piece) for piece in pieces])
    return protocol, sent


def ways_to_cut(content: bytes) -> list[list[bytes]]:
    return [
        [content],
        [bytes([byte]) for byte in content],
        *([content[:at], content[at:]] for at in range(1, len(content))),
    ]


@pytest.mark.parametrize("name", TALKS)
def test_a_connection_is_asked_for_however_the_replies_come(name: str) -> None:
    """No byte behind the last one is lost."""
    credentials, host, replies, expected = TALKS[name]

    for behind in (b"", BEHIND[:1], BEHIND):
        for pieces in ways_to_cut(replies + behind):
            protocol, sent = talk(pieces, credentials, host)
            assert protocol.is_done
            assert sent == expected
            assert protocol.surplus == behind


@pytest.mark.parametrize("name", TALKS)
def test_it_is_not_done_before_the_last_byte(name: str) -> None:
    """At every place."""
    credentials, host, replies, _ = TALKS[name]
    for end in range(len(replies)):
        protocol, _ = talk([replies[:end]], credentials, host)
        assert not protocol.is_done
        assert protocol.surplus == b""


@pytest.mark.parametrize("code", range(1, 9))
def test_a_refusal_is_one_as_soon_as_its_code_is_there(code: int) -> None:
    """Some proxies close behind it, and send no address."""
    for tail in (b"", b"\x00\x01" + bytes(6)):
        with pytest.raises(SocksFault) as caught:
            talk([b"\x05\x00", b"\x05" + bytes([code]) + tail], None, "b")
        assert caught.value.is_refusal
        assert caught.value.may_try_other is (code in (3, 4, 5, 6, 8))
        assert not caught.value.wants_credentials


@pytest.mark.parametrize(
    ("credentials", "replies"),
    [
        (None, b"\x05\xff"),
        (None, b"\x05\x02"),
        (USER, b"\x05\xff"),
        (USER, b"\x05\x02\x01\x01"),
        (USER, b"\x05\x02\x01\xff"),
    ],
)
def test_credentials_that_are_not_taken_are_told(
    credentials: tuple[bytes, bytes] | None, replies: bytes
) -> None:
    """Whatever is wrong with them, they are not in the text."""
    for pieces in ways_to_cut(replies):
        with pytest.raises(SocksFault) as caught:
            talk(pieces, credentials, "b")
        assert caught.value.wants_credentials
        assert "user" not in str(caught.value).replace("user name", "")


@pytest.mark.parametrize(
    "replies",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x04\x5a" + bytes(6),
        b"\x05\x01",
        b"\x05\x00HTTP",
        b"\x05\x00\x04\x00\x00\x01" + bytes(6),
        b"\x05\x00\x05\x5b\x00\x01" + bytes(6),
        b"\x05\x00\x05\x00\x00\x09" + bytes(6),
        b"\x05\x00\x05\x00\x00\x00" + bytes(6),
    ],
)
def test_what_is_no_reply_is_refused(replies: bytes) -> None:
    """Another protocol, another version, a method not on offer, and values that there are not."""
    for pieces in ways_to_cut(replies):
        with pytest.raises(SocksFault, match="not answer as a SOCKS5 proxy") as caught:
            talk(pieces, None, "b")
        assert not caught.value.is_refusal


def test_no_method_is_offered_that_cannot_be_kept() -> None:
    """A password only where there is one."""
    assert Socks5Protocol("b", 80, None).greeting() == b"\x05\x01\x00"
    assert Socks5Protocol("b", 80, USER).greeting() == b"\x05\x02\x00\x02"


def test_a_name_that_is_too_long_is_told() -> None:
    """Its length is one byte."""
    assert Socks5Protocol("a" * 255, 80, None).greeting()
    with pytest.raises(SocksFault, match="255 bytes"):
        Socks5Protocol("a" * 256, 80, None)
