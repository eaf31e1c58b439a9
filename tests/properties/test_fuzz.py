"""Arbitrary bytes, arbitrarily cut: the outcome depends on the bytes alone, and is one of ours."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from asyncbatch._engine.http11 import ExchangeError, ResponseProtocol, ResponseState
from tests.unit.engine.http11.messages import MALFORMED, VALID

TOKENS = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 200\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 204 X\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: ",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Keep-Alive: timeout=5\r\n",
    b"\r\n",
    b"\r",
    b"\n",
    b" ",
    b"\t",
    b":",
    b";",
    b"0",
    b"3",
    b"a",
    b"f",
    b"\x00",
    b"\xff",
    b"abc",
    b"0\r\n\r\n",
    b"3\r\nabc\r\n",
]
# Bytes that begin like a response, so that most of them get somewhere.
wires = st.one_of(
    st.lists(st.sampled_from(TOKENS), max_size=14).map(b"".join),
    st.builds(
        lambda parts, noise: b"HTTP/1.1 200 OK\r\n" + b"".join(parts) + noise,
        st.lists(st.sampled_from(TOKENS), max_size=10),
        st.binary(max_size=20),
    ),
    st.sampled_from([message.wire for message in VALID + MALFORMED]),
    st.binary(max_size=60),
)
cuts = st.lists(st.integers(1, 9), min_size=1, max_size=8)


def outcome(pieces: list[bytes]) -> tuple[object, ...]:
    """Feed and return all that can be observed; any other exception is a bug."""
    protocol = ResponseProtocol()
    protocol.begin_response(max_body=50)
    body = b""
    try:
        for piece in pieces:
            is_complete = protocol.receive(piece)
            body += protocol.take_body()
            if is_complete:
                break
        if protocol.state is not ResponseState.DONE:
            protocol.receive_eof()
    except ExchangeError as exc:
        return (exc.kind,)
    assert protocol.head is not None
    return (protocol.head.status, protocol.head.fields, body, protocol.trailers)


@given(wires, cuts)
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", [1])
def test_how_the_bytes_are_cut_makes_no_difference(wire: bytes, sizes: list[int]) -> None:
    """Whole or in pieces: the same response, or an error of the same kind."""
    pieces = []
    rest, turn = wire, 0
    while rest:
        size = sizes[turn % len(sizes)]
        pieces.append(rest[:size])
        rest, turn = rest[size:], turn + 1

    assert outcome(pieces) == outcome([wire] if wire else [])


@given(wires)
def test_a_response_is_never_kept_with_bytes_left_over(wire: bytes) -> None:
    """Only a response that used every byte leaves its connection usable."""
    protocol = ResponseProtocol()
    try:
        protocol.receive(wire + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        protocol.receive(b"rest") if protocol.state is ResponseState.BODY else None
    except ExchangeError:
        return

    if protocol.state is ResponseState.DONE and protocol.is_reusable:
        # Then the response is the one we appended: what came first was informational or nothing.
        assert protocol.head is not None
        assert protocol.take_body() in (b"", b"rest"[: protocol.head.length])
