"""The session against h2 as its peer, and against frames that no sound server sends."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("ngh2")
pytest.importorskip("h2")

import h2.events
import h2.settings

from asyncbatch._engine.http2 import STREAM_WINDOW, _session, new_session
from asyncbatch._engine.http11 import ExchangeError, ProtocolError, ResponseHead, ResponseTooLarge
from tests import http2_peer as wire
from tests.http2_peer import Peer

REQUEST = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"host.test"),
    (b":path", b"/"),
]
MANY = 1 << 20


class Log:
    """An owner that writes down what it is called with, and takes each body at once."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.heads: dict[int, ResponseHead] = {}
        self.bodies: dict[int, bytes] = {}
        self.takes = True
        self.informed = 0
        self.session: Any = new_session(self)

    def informational_received(self, stream: int) -> None:
        self.informed += 1

    def head_received(self, stream: int, head: ResponseHead, *, is_end: bool) -> None:
        self.heads[stream] = head
        self.calls.append(("head", stream, head.status, head.fields, is_end))

    def content_received(self, stream: int, content: bytes, *, is_end: bool) -> None:
        self.bodies[stream] = self.bodies.get(stream, b"") + content
        if self.takes:
            self.session.consume(stream, len(content))
        if is_end:
            self.calls.append(("whole", stream, self.bodies[stream]))

    def trailers_received(self, stream: int, fields: tuple[tuple[bytes, bytes], ...]) -> None:
        self.calls.append(("trailers", stream, self.bodies.get(stream), fields))

    def stream_reset(self, stream: int, code: int) -> None:
        self.calls.append(("reset", stream, code))

    def stream_refused(self, stream: int) -> None:
        self.calls.append(("refused", stream))

    def stream_failed(self, stream: int, error: ExchangeError) -> None:
        self.calls.append(("failed", stream, type(error), str(error)))

    def settings_changed(self) -> None:
        self.calls.append(("settings", self.session.max_streams))

    def server_leaves(self) -> None:
        self.calls.append(("leaves",))

    def session_ended(self, error: ExchangeError) -> None:
        self.calls.append(("ended", type(error), str(error)))

    def named(self, name: str) -> list[tuple[Any, ...]]:
        """Return the calls of one name, without it."""
        return [call[1:] for call in self.calls if call[0] == name]


def meet(log: Log, peer: Peer) -> None:
    """Carry bytes between both until neither has more."""
    while (outgoing := log.session.take_outgoing(MANY)) or peer.h2._data_to_send:
        peer.receive(outgoing)
        log.session.receive(peer.take())


def begun(streams: int = 1, **options: Any) -> tuple[Log, Peer]:
    """Return a session with so many requests under way at a server of h2."""
    log, peer = Log(), Peer(**options)
    for _ in range(streams):
        log.session.open_stream(REQUEST, is_end=True)
    meet(log, peer)
    return log, peer


def test_a_request_and_its_response_pass() -> None:
    """Head, body and end, with the fields in order and the windows given back."""
    log, peer = begun()

    peer.respond(1, b"hello", ("content-type", "text/plain"), ("x-a", "1"), ("x-a", "2"))
    meet(log, peer)

    fields = ((b"content-type", b"text/plain"), (b"x-a", b"1"), (b"x-a", b"2"))
    assert peer.requests[1] == [(name.decode(), value.decode()) for name, value in REQUEST]
    assert log.calls == [
        ("settings", 100),
        ("head", 1, 200, fields, False),
        ("whole", 1, b"hello"),
    ]
    assert log.heads[1].version == b"HTTP/2"
    assert log.heads[1].reason == b"OK"


def test_a_head_without_a_body_is_the_end() -> None:
    """As for 204, 304 and the answers to HEAD."""
    log, peer = begun()

    peer.respond(1, status="204")
    meet(log, peer)

    assert log.named("head") == [(1, 204, (), True)]
    assert log.heads[1].length == 0


def test_the_answer_to_head_may_tell_a_length() -> None:
    """Of the body that it does not have."""
    log, peer = Log(), Peer()
    log.session.open_stream([(b":method", b"HEAD"), *REQUEST[1:]], is_end=True)
    meet(log, peer)

    peer.respond(1, b"", ("content-length", "5"))
    meet(log, peer)

    assert log.named("head") == [(1, 200, ((b"content-length", b"5"),), True)]
    assert not log.named("failed")


def test_informational_responses_are_passed_over_and_trailers_are_not() -> None:
    """Also if there are several."""
    log, peer = begun()

    peer.h2.send_headers(1, [(":status", "103"), ("link", "</a>")])
    peer.h2.send_headers(1, [(":status", "100")])
    peer.h2.send_headers(1, [(":status", "200")])
    peer.h2.send_data(1, b"abc")
    peer.h2.send_headers(1, [("x-sum", "1")], end_stream=True)
    meet(log, peer)

    assert log.calls[1:] == [
        ("head", 1, 200, (), False),
        ("trailers", 1, b"abc", ((b"x-sum", b"1"),)),
    ]
    assert log.informed == 2


@pytest.mark.parametrize("last", ["103", "200"])
def test_informational_responses_share_the_limit_of_a_head(last: str) -> None:
    """As over HTTP/1.1: those of one response, and its head, have 64 KiB together."""
    log, peer = begun()
    long = ("x-long", "y" * 30_000)

    peer.h2.send_headers(1, [(":status", "103"), long])
    peer.h2.send_headers(1, [(":status", "103"), long])
    meet(log, peer)
    assert not log.named("failed")
    peer.h2.send_headers(1, [(":status", last), long])
    meet(log, peer)

    ((stream, kind, text),) = log.named("failed")
    assert (stream, kind) == (1, ResponseTooLarge)
    assert "longer than 65536 bytes" in text


def test_equal_heads_are_one_object() -> None:
    """So that what is computed from a head need not be computed again."""
    log, peer = begun(3)

    for stream in (1, 3):
        peer.respond(stream, b"", ("x-a", "1"))
    peer.respond(5, b"", ("x-a", "2"))
    meet(log, peer)

    assert log.heads[1] is log.heads[3]
    assert log.heads[1] is not log.heads[5]


def test_more_streams_than_one_wait_for_the_settings() -> None:
    """A server that takes few might treat more as an error."""
    log, peer = Log(), Peer(max_streams=7)
    assert (log.session.max_streams, log.session.has_settings) == (1, False)

    meet(log, peer)
    assert (log.session.max_streams, log.session.has_settings) == (7, True)

    peer.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 3})
    meet(log, peer)
    assert log.named("settings") == [(7,), (3,)]

    peer.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    meet(log, peer)
    assert log.session.max_streams == 3


def test_a_server_that_names_no_limit_has_none() -> None:
    """RFC 9113 §6.5.2."""
    log = Log()

    log.session.receive(wire.settings())

    assert log.session.max_streams > 10_000


def test_a_body_is_sent_as_the_windows_allow() -> None:
    """And ends with its last byte."""
    log, peer = Log(), Peer(window=10_000)
    peer.takes_bodies = False
    meet(log, peer)
    stream = log.session.open_stream([(b":method", b"POST"), *REQUEST[1:]], is_end=False)
    log.session.send_body(stream, b"x" * 25_000, is_end=False)
    meet(log, peer)
    assert (len(peer.bodies[1]), log.session.unsent(1)) == (10_000, 15_000)

    log.session.end_body(stream)
    while not peer.ended:
        peer.h2.increment_flow_control_window(10_000, 1)
        meet(log, peer)

    assert peer.bodies[1] == b"x" * 25_000
    assert log.session.unsent(1) == 0


def test_bytes_that_are_not_taken_hold_up_their_stream_only() -> None:
    """Up to the window of the stream; giving them back opens it again."""
    log, peer = begun(2)
    log.takes = False
    for stream in (1, 3):
        peer.h2.send_headers(stream, [(":status", "200")])
    assert peer.h2.local_flow_control_window(1) == STREAM_WINDOW

    for _ in range(STREAM_WINDOW // 16384):
        peer.h2.send_data(1, b"x" * 16384)
    meet(log, peer)
    assert peer.h2.local_flow_control_window(1) == 0
    assert peer.h2.local_flow_control_window(3) == STREAM_WINDOW

    log.session.consume(1, STREAM_WINDOW)
    meet(log, peer)
    assert peer.h2.local_flow_control_window(1) == STREAM_WINDOW


def test_a_stream_can_be_widened() -> None:
    """For a long body that is taken at once."""
    log, peer = begun()
    peer.h2.send_headers(1, [(":status", "200")])

    log.session.widen(1, 4 * STREAM_WINDOW)
    meet(log, peer)

    assert peer.h2.local_flow_control_window(1) == 4 * STREAM_WINDOW


@pytest.mark.parametrize("order", ["reset first", "taken first"])
def test_a_stream_that_is_given_up_gives_its_window_back(
    order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the connection would have nothing left after some of them."""
    window = 2 * STREAM_WINDOW
    monkeypatch.setattr(_session, "CONNECTION_WINDOW", window)
    log, peer = begun()
    log.takes = False

    for stream in range(1, 12, 2):
        peer.h2.send_headers(stream, [(":status", "200")])
        for _ in range(STREAM_WINDOW // 16384):
            peer.h2.send_data(stream, b"x" * 16384)
        log.session.receive(peer.take())
        if order == "taken first":
            log.session.consume(stream, STREAM_WINDOW)
        log.session.reset_stream(stream)
        if order == "reset first":
            log.session.consume(stream, STREAM_WINDOW)
        log.session.open_stream(REQUEST, is_end=True)
        meet(log, peer)

        assert peer.h2.outbound_flow_control_window >= window // 2


def test_what_arrives_for_a_stream_given_up_is_passed_over() -> None:
    """The server may have sent it before it knew."""
    log, peer = begun(2)
    peer.h2.send_headers(1, [(":status", "200")])
    peer.h2.send_data(1, b"x" * 16_000)

    log.session.reset_stream(1)
    log.session.receive(peer.take())
    peer.receive(log.session.take_outgoing(MANY))
    peer.respond(3, b"y")
    meet(log, peer)

    assert log.calls[1:] == [("head", 3, 200, (), False), ("whole", 3, b"y")]
    assert any(isinstance(event, h2.events.StreamReset) for event in peer.events)


@pytest.mark.parametrize("part", ["head", "trailers"])
def test_what_came_with_the_reason_to_give_a_stream_up_is_passed_over(part: str) -> None:
    """An owner may give up one stream while it hears of another, from the same bytes."""
    log, _ = begun(2)
    if part == "trailers":
        log.session.receive(wire.head(3))
    before = list(log.calls)
    rest = wire.frame(wire.HEADERS, 5, 3, wire.block(("a", "b")))

    log.stream_reset = lambda stream, code: log.session.reset_stream(3)  # type: ignore[method-assign]
    log.session.receive(wire.reset(1, 2) + (rest if part == "trailers" else wire.head(3)))

    assert log.calls == before
    assert not log.session._live


def test_a_reset_after_the_end_of_a_stream_leaves_nothing() -> None:
    """Servers end the body of a request so that they did not read."""
    log, peer = begun()
    peer.respond(1, b"y")
    meet(log, peer)
    before = list(log.calls)

    for _ in range(3):
        log.session.receive(wire.reset(1, 0))

    assert log.calls == before
    assert not log.session._live


def test_a_ping_is_answered_and_sent() -> None:
    """Without telling anybody."""
    log, peer = begun()

    peer.h2.ping(b"12345678")
    log.session.ping()
    meet(log, peer)

    kinds = [type(event) for event in peer.events]
    assert h2.events.PingAckReceived in kinds
    assert h2.events.PingReceived in kinds
    assert log.calls == [("settings", 100)]


def test_after_stop_the_owner_hears_no_more() -> None:
    """Not even of what has arrived with it."""
    log, peer = begun(2)
    peer.respond(1)
    peer.respond(3)
    calls = len(log.calls)

    log.session.stop()
    log.session.receive(peer.take())

    assert len(log.calls) == calls


def test_a_server_that_leaves_finishes_what_it_has_begun() -> None:
    """What it has not begun can be sent elsewhere, and nothing new is begun (RFC 9113 §6.8)."""
    log, _ = begun(3)

    log.session.receive(wire.goaway(3))
    log.session.receive(wire.head(1, end=True) + wire.head(3, end=True))

    assert log.calls[1] == ("leaves",)
    assert log.named("refused") == [(5,)]
    assert [call[0] for call in log.named("head")] == [1, 3]
    with pytest.raises(ProtocolError):
        log.session.open_stream(REQUEST, is_end=True)


def test_a_shutdown_in_two_steps_refuses_nothing_in_the_first() -> None:
    """The first GOAWAY names the highest number there is."""
    log, _ = begun(3)

    log.session.receive(wire.goaway(2**31 - 1))
    assert log.session.is_leaving
    assert not log.named("refused")

    log.session.receive(wire.goaway(1))
    assert {call[0] for call in log.named("refused")} == {3, 5}


# A whole conversation, for the cuts: 1xx, padding, continuations, trailers, a reset, a ping, a
# refused stream, and a server that leaves.
CONVERSATION = b"".join(
    [
        wire.settings({3: 10}),
        wire.head(1, status="103"),
        wire.frame(wire.HEADERS, 0, 1, wire.block((":status", "200"), ("x-long", "y" * 50))[:20]),
        wire.frame(
            wire.CONTINUATION,
            wire.END_HEADERS,
            1,
            wire.block((":status", "200"), ("x-long", "y" * 50))[20:],
        ),
        wire.frame(wire.PING, 0, 0, b"abcdefgh"),
        wire.frame(wire.DATA, wire.PADDED, 1, b"\x03abc\0\0\0"),
        wire.head(3, ("content-length", "2")),
        wire.data(3, b"ok", end=True),
        wire.frame(wire.WINDOW_UPDATE, 0, 0, wire.number(1000)),
        wire.frame(0xEE, 0xFF, 9, b"unknown"),
        wire.data(1, b"", end=False),
        wire.frame(wire.HEADERS, wire.END_HEADERS | wire.END_STREAM, 1, wire.block(("x-sum", "1"))),
        wire.reset(5, 2),
        wire.reset(7, 7),
        wire.goaway(9),
        wire.head(9, end=True),
    ]
)


def calls_for(pieces: list[bytes]) -> list[tuple[Any, ...]]:
    log = Log()
    for _ in range(6):
        log.session.open_stream(REQUEST, is_end=True)
    log.session.take_outgoing(MANY)
    for piece in pieces:
        log.session.receive(piece)
        log.session.take_outgoing(MANY)
    return log.calls


def test_bytes_mean_the_same_however_they_are_cut() -> None:
    """In two at every place, and one by one."""
    whole = calls_for([CONVERSATION])

    for at in range(1, len(CONVERSATION)):
        assert calls_for([CONVERSATION[:at], CONVERSATION[at:]]) == whole, at
    assert calls_for([bytes([byte]) for byte in CONVERSATION]) == whole
    assert [call[0] for call in whole] == [
        *("settings", "head", "head", "whole", "trailers", "reset", "refused", "leaves"),
        *("refused", "head", "ended"),
    ]


def stream_error(name: str, *frames: bytes, too_large: bool = False) -> Any:
    kind = ResponseTooLarge if too_large else ProtocolError
    return pytest.param(frames, kind, id=name)


LIST = ("x-f", "v" * 100)

# Faults of one response: others go on. Each with the rule that it breaks.
STREAM_ERRORS = [
    stream_error("RFC 9113 8.2.1: an upper-case name", wire.head(1, ("X-Upper", "1"))),
    stream_error("RFC 9113 8.2.1: a control character", wire.head(1, ("a", "b\x01c"))),
    stream_error("RFC 9113 8.2.1: a line end in a value", wire.head(1, ("a", "b\r\nc: d"))),
    stream_error("RFC 9113 8.2.1: NUL in a value", wire.head(1, ("a", "b\0"))),
    stream_error("RFC 9113 8.2.1: space around a value", wire.head(1, ("a", " b "))),
    stream_error("RFC 9113 8.2.1: a space in a name", wire.head(1, ("a b", "c"))),
    stream_error("RFC 9113 8.2.1: an empty name", wire.head(1, ("", "c"))),
    stream_error("RFC 9113 8.2.2: Connection", wire.head(1, ("connection", "close"))),
    stream_error("RFC 9113 8.2.2: Transfer-Encoding", wire.head(1, ("transfer-encoding", "x"))),
    stream_error("RFC 9113 8.3: an unknown pseudo-header", wire.head(1, (":foo", "1"))),
    stream_error("RFC 9113 8.3: of a request", wire.head(1, (":path", "/"))),
    stream_error(
        "RFC 9113 8.3: after a field",
        wire.frame(wire.HEADERS, wire.END_HEADERS, 1, wire.block(("a", "b"), (":status", "200"))),
    ),
    stream_error("RFC 9113 8.3.2: no status", wire.frame(1, 5, 1, wire.block(("a", "b")))),
    stream_error("RFC 9113 8.3.2: two of them", wire.head(1, (":status", "200"))),
    stream_error("RFC 9110 15: a status of two digits", wire.head(1, status="99", end=True)),
    stream_error("RFC 9110 15: a status that is none", wire.head(1, status="2x0", end=True)),
    stream_error("RFC 9110 15: a status of 0", wire.head(1, status="000", end=True)),
    stream_error("RFC 9113 8.6: 101", wire.head(1, status="101")),
    stream_error("RFC 9113 8.1: 1xx at the end", wire.head(1, status="100", end=True)),
    stream_error(
        "RFC 9113 8.1: a body after 1xx only", wire.head(1, status="103"), wire.data(1, b"x")
    ),
    stream_error(
        "RFC 9113 8.1: a body without content after 1xx only",
        wire.head(1, status="103"),
        wire.data(1, b""),
    ),
    stream_error(
        "RFC 9113 8.1: trailers after 1xx only",
        wire.head(1, status="103"),
        wire.data(1, b"") + wire.frame(wire.HEADERS, 5, 1, wire.block(("a", "b"))),
    ),
    stream_error(
        "RFC 9113 8.1: an end after 1xx only",
        wire.head(1, status="103"),
        wire.data(1, b"", end=True),
    ),
    stream_error("RFC 9113 8.1: a second head", wire.head(1), wire.head(1)),
    stream_error(
        "RFC 9113 8.1: trailers that do not end it",
        wire.head(1),
        wire.data(1, b"x"),
        wire.frame(wire.HEADERS, wire.END_HEADERS, 1, wire.block(("a", "b"))),
    ),
    stream_error(
        "RFC 9113 8.1: a pseudo-header in trailers",
        wire.head(1),
        wire.frame(wire.HEADERS, 5, 1, wire.block((":status", "200"))),
    ),
    stream_error(
        "RFC 9113 8.1.1: a body shorter than told",
        wire.head(1, ("content-length", "5")),
        wire.data(1, b"abc", end=True),
    ),
    stream_error(
        "RFC 9113 8.1.1: a body longer than told",
        wire.head(1, ("content-length", "2")),
        wire.data(1, b"abc", end=True),
    ),
    stream_error(
        "RFC 9113 8.1.1: two lengths",
        wire.head(1, ("content-length", "3"), ("content-length", "4"), end=True),
    ),
    stream_error(
        "RFC 9113 8.1.1: a length that is none", wire.head(1, ("content-length", "+3"), end=True)
    ),
    stream_error(
        "RFC 9110 15.3.5: 204 with a body",
        wire.head(1, status="204"),
        wire.data(1, b"abc", end=True),
    ),
    stream_error(
        "CVE-2023-39325 and others: many fields", wire.head(1, *[LIST] * 300), too_large=True
    ),
    stream_error("RFC 9113 10.5.1: a long head", wire.head(1, ("a", "v" * 66_000)), too_large=True),
    stream_error("RFC 9110 15.2: endless 1xx", *[wire.head(1, status="103")] * 21, too_large=True),
]


@pytest.mark.parametrize(("frames", "kind"), STREAM_ERRORS)
def test_a_response_that_is_not_valid_fails_alone(frames: tuple[bytes, ...], kind: type) -> None:
    """The stream is reset, and others go on."""
    log, _ = begun(2)

    for each in frames:
        log.session.receive(each)
    sent = log.session.take_outgoing(MANY)
    log.session.receive(wire.head(3, end=True))

    (failed,) = log.named("failed")
    assert failed[:2] == (1, kind)
    assert wire.frame(wire.RST_STREAM, 0, 1, wire.number(1)) in sent
    assert log.named("head")[-1][:2] == (3, 200)
    assert not log.named("ended")


def test_trailers_that_are_not_valid_fail_their_response_alone() -> None:
    """They end it, so that there is no stream to reset."""
    log, _ = begun(2)
    many = wire.frame(wire.HEADERS, 5, 1, wire.block(*[("a", "b")] * 300))

    log.session.receive(wire.head(1) + many)
    log.session.receive(wire.head(3, end=True))

    ((stream, kind, text),) = log.named("failed")
    assert (stream, kind, text) == (1, ResponseTooLarge, "more than 256 trailer fields")
    assert not log.named("trailers")
    assert log.named("head")[-1][:2] == (3, 200)


def flood(unit: bytes, count: int) -> Callable[[], Iterator[bytes]]:
    def frames() -> Iterator[bytes]:
        for _ in range(count // 100):
            yield unit * 100

    return frames


def continuations() -> Iterator[bytes]:
    yield wire.frame(wire.HEADERS, 0, 1, wire.block((":status", "200")))
    for _ in range(10_000):
        yield wire.frame(wire.CONTINUATION, 0, 1, wire.block(("a", "b")))


def empty_continuations() -> Iterator[bytes]:
    yield wire.frame(wire.HEADERS, 0, 1, wire.block((":status", "200")))
    for _ in range(10_000):
        yield wire.frame(wire.CONTINUATION, 0, 1)


def hpack_bomb() -> Iterator[bytes]:
    # One long field in the table, and then a byte for each time it is repeated.
    entry = b"\x40\x01a" + b"\x7f\xa1\x1e" + b"v" * 4000
    yield wire.frame(
        wire.HEADERS, wire.END_HEADERS, 1, wire.block((":status", "200")) + entry + b"\xbe" * 16_000
    )


def in_one(*frames: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter(frames)


CONNECTION_ERRORS = {
    "RFC 9113 3.4: HTTP/1.1 instead": in_one(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "RFC 9113 3.4: no SETTINGS first": in_one(wire.head(1, end=True)),
    "RFC 9113 4.2: a frame that is too long": in_one(wire.data(1, b"x" * 70_000)),
    "RFC 9113 4.3: bytes that are not HPACK": in_one(wire.frame(1, 5, 1, b"\xff" * 9)),
    "RFC 9113 5.1: DATA on an idle stream": in_one(wire.data(99, b"x")),
    "RFC 9113 5.1: HEADERS on an idle stream": in_one(wire.head(98, end=True)),
    "RFC 9113 5.1: RST_STREAM on an idle stream": in_one(wire.reset(99, 8)),
    "RFC 9113 8.1: a body before the head": in_one(wire.data(1, b"x")),
    "RFC 9113 6.1: DATA on stream 0": in_one(wire.data(0, b"x")),
    "RFC 9113 6.1: more padding than frame": in_one(wire.frame(0, 8, 1, b"\xff")),
    "RFC 9113 6.4: RST_STREAM of three bytes": in_one(wire.frame(3, 0, 1, b"abc")),
    "RFC 9113 6.5: SETTINGS of five bytes": in_one(wire.frame(4, 0, 0, b"abcde")),
    "RFC 9113 6.5: SETTINGS on a stream": in_one(wire.frame(4, 0, 1, b"")),
    "RFC 9113 6.5: an ACK with a payload": in_one(wire.frame(4, 1, 0, b"abcdef")),
    "RFC 9113 6.5.2: a window of 2^31": in_one(wire.settings({4: 2**31})),
    "RFC 9113 6.5.2: a frame size of 1": in_one(wire.settings({5: 1})),
    "RFC 9113 6.5.2: ENABLE_PUSH of a server": in_one(wire.settings({2: 1})),
    "RFC 9113 6.6: PUSH_PROMISE after it was refused": in_one(
        wire.frame(wire.SETTINGS, wire.ACK),
        wire.frame(
            wire.PUSH_PROMISE,
            wire.END_HEADERS,
            1,
            wire.number(2) + wire.block((":method", "GET"), (":path", "/")),
        ),
    ),
    "RFC 9113 6.7: PING of seven bytes": in_one(wire.frame(6, 0, 0, b"1234567")),
    "RFC 9113 6.8: GOAWAY of four bytes": in_one(wire.frame(7, 0, 0, b"1234")),
    "RFC 9113 6.9: WINDOW_UPDATE of 0": in_one(wire.frame(8, 0, 0, wire.number(0))),
    "RFC 9113 6.9.1: a window above 2^31-1": in_one(wire.frame(8, 0, 0, wire.number(2**31 - 1))),
    "RFC 9113 6.9.1: more than the window": in_one(
        wire.head(1), *[wire.data(1, b"x" * 65_536)] * (STREAM_WINDOW // 65_536 + 1)
    ),
    "RFC 9113 6.10: CONTINUATION of nothing": in_one(wire.frame(9, 4, 1, b"")),
    "RFC 9113 6.10: another frame between": in_one(wire.frame(1, 0, 1, b""), wire.data(1, b"")),
    "CVE-2024-27316: CONTINUATION without end": continuations,
    "CVE-2024-27316: empty CONTINUATION without end": empty_continuations,
    "CVE-2016-1544, -2525: HPACK bomb": hpack_bomb,
    "CVE-2019-9512: PING without reading": flood(wire.frame(6, 0, 0, b"12345678"), 100_000),
    "CVE-2019-9515: SETTINGS without reading": flood(wire.settings(), 100_000),
    "CVE-2020-11080: a SETTINGS of 10,000": in_one(
        wire.frame(4, 0, 0, b"\x00\x03\x00\x00\x00\x01" * 10_000)
    ),
}


@pytest.mark.parametrize("name", CONNECTION_ERRORS)
def test_a_server_that_breaks_the_connection_is_left_in_bounded_memory(name: str) -> None:
    """It ends once, with an error that names the protocol, and nothing is told afterwards."""
    log = Log()
    log.takes = False
    for _ in range(2):
        log.session.open_stream(REQUEST, is_end=True)
    log.session.take_outgoing(MANY)
    if "3.4" not in name:
        log.session.receive(wire.settings())
        log.session.take_outgoing(MANY)

    tracemalloc.start()
    for content in CONNECTION_ERRORS[name]():
        log.session.receive(content)
        if "without reading" not in name:
            log.session.take_outgoing(MANY)
        if log.session.is_over:
            break
    log.session.take_outgoing(MANY)
    log.session.receive(wire.head(3, end=True))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    ((kind, _),) = log.named("ended")
    assert kind is ProtocolError
    assert log.calls[-1][0] == "ended"
    assert peak < 4 * STREAM_WINDOW


HARMLESS = {
    "RFC 9113 5.5: an unknown frame": wire.frame(0xEE, 0xFF, 1, b"xyz"),
    "RFC 9113 5.3.2: PRIORITY": wire.frame(wire.PRIORITY, 0, 1, b"\0\0\0\0\1"),
    "RFC 7838: ALTSVC": wire.frame(0xA, 0, 0, b'\0\x01ah3=":443"'),
    "RFC 8336: ORIGIN": wire.frame(0xC, 0, 0, b"\0\x01a"),
    "RFC 9113 6.5: SETTINGS again": wire.settings({3: 50, 4: 1000, 0xAAAA: 1}),
    "RFC 9113 6.7: an answer to no PING": wire.frame(wire.PING, wire.ACK, 0, b"12345678"),
    "RFC 9113 6.9: a window of its own": wire.frame(wire.WINDOW_UPDATE, 0, 1, wire.number(9)),
    "RFC 9113 5.1: a late RST_STREAM": wire.head(3, end=True) + wire.reset(3, 8),
    "RFC 9113 6.6: PUSH_PROMISE before it was refused": wire.frame(
        wire.PUSH_PROMISE,
        wire.END_HEADERS,
        1,
        wire.number(2)
        + wire.block((":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")),
    ),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_frame_that_means_nothing_to_us_is_passed_over(name: str) -> None:
    """The response comes all the same."""
    log = Log()
    for _ in range(2):
        log.session.open_stream(REQUEST, is_end=True)
    log.session.take_outgoing(MANY)

    log.session.receive(wire.settings() + HARMLESS[name])
    log.session.take_outgoing(MANY)
    log.session.receive(wire.head(1) + wire.data(1, b"ok", end=True))

    assert log.named("whole") == [(1, b"ok")]
    assert not log.named("ended")


def test_a_request_that_breaks_nothing_but_is_reset_names_the_code() -> None:
    """For the message of the failure."""
    log, _ = begun(2)

    log.session.receive(wire.reset(1, 11) + wire.head(3) + wire.reset(3, 2))

    assert log.named("reset") == [(1, 11), (3, 2)]
    assert not log.named("failed")
