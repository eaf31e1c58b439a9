"""One exchange on a shared connection, without any: what it counts, and which limit has passed."""

from __future__ import annotations

from typing import Any

import pytest

from asyncbatch._engine import ExchangeLimits, SentTooSlowly, TimedOut
from asyncbatch._engine._exchange import NEVER, Exchange, Origin
from asyncbatch._engine.connection._stream import Stream
from asyncbatch._engine.http2 import LONG_WINDOW, STREAM_WINDOW
from asyncbatch._engine.http2._fields import HeadReader
from asyncbatch._engine.http11 import ResponseHead, UnjoinedBody


class Future:
    """Of a future what `Exchange.settle` uses."""

    def __init__(self) -> None:
        self.is_done = False

    def done(self) -> bool:
        return self.is_done

    def set_result(self, result: None) -> None:
        self.is_done = True


class Connection:
    """A connection that writes down what its streams ask for."""

    is_closed = False

    def __init__(self) -> None:
        self.response_builder: Any = None
        self.calls: list[tuple[Any, ...]] = []
        self.unsent = 0
        self.writer = self

    def watch_deadline(self, deadline: float) -> None:
        self.calls.append(("watch", deadline))

    def consume(self, stream: Stream, size: int) -> None:
        self.calls.append(("consume", size))

    def widen(self, stream: Stream, window: int) -> None:
        self.calls.append(("widen", window))

    def abandon_stream(self, stream: Stream) -> None:
        self.calls.append(("abandon",))

    def give_up_stream(self, stream: Stream, error: Exception) -> None:
        self.calls.append(("give up", error))

    def send_body(self, stream: Stream, content: bytes, *, is_end: bool) -> int:
        self.calls.append(("send", content, is_end))
        return self.unsent

    def get_extra_info(self, name: str) -> object:
        return name


def stream_of(
    body: Any = None, deadline: float = NEVER, **limits: Any
) -> tuple[Stream, Connection]:
    connection, future = Connection(), Future()
    exchange = Exchange(
        future,  # type: ignore[arg-type]  # enough of one
        Origin(True, "a", 1),
        b"GET",
        b"",
        body,
        ExchangeLimits(**limits),
        deadline,
        False,
        0.0,
    )
    stream = Stream(connection, exchange)
    exchange.connection = stream
    return stream, connection


def head(*fields: tuple[bytes, bytes], status: bytes = b"200") -> ResponseHead:
    return HeadReader().read(((b":status", status), *fields))


def test_it_is_the_connection_of_its_exchange() -> None:
    """Until the exchange has ended."""
    stream, connection = stream_of()
    exchange = stream.exchange
    assert exchange is not None

    stream.response_builder = "mine"
    stream.abandon()

    assert exchange.active_connection is stream
    assert connection.response_builder == stream.response_builder == "mine"
    assert connection.calls == [("abandon",)]
    assert stream.get_extra_info("peername") == "peername"
    assert not stream.is_closed
    stream.exchange = None
    assert stream.is_closed
    assert exchange.active_connection is None


def test_the_pieces_of_a_body_are_joined() -> None:
    """With the last one; a long body stays in pieces."""
    stream, _ = stream_of()
    stream.begin_body(head())
    assert stream.add(b"one ", 0.0) is None
    assert stream.take_rest(b"two") == b"one two"

    stream, _ = stream_of()
    stream.begin_body(head())
    for _ in range(100):
        stream.add(b"x" * 16_384, 0.0)
    rest = stream.take_rest()
    assert isinstance(rest, UnjoinedBody)
    assert len(bytes(rest)) == 1_638_400


@pytest.mark.parametrize(
    ("fields", "pieces", "is_error"),
    [
        ([(b"content-length", b"11")], [], True),
        ([(b"content-length", b"10")], [b"x" * 10], False),
        ([], [b"x" * 10], False),
        ([], [b"x" * 10, b"y"], True),
        ([(b"content-encoding", b"gzip")], [b"x" * 1000], False),
        ([(b"content-encoding", b"gzip")], [b"x" * 2000], True),
    ],
)
def test_a_body_above_the_limit_is_an_error(
    fields: list[tuple[bytes, bytes]], pieces: list[bytes], is_error: bool
) -> None:
    """By the head, or by what has come; one with a coding may be a little longer."""
    stream, _ = stream_of(max_body=10)

    errors = [stream.begin_body(head(*fields)), *(stream.add(piece, 0.0) for piece in pieces)]

    assert any(errors) is is_error


def test_a_long_body_of_a_redirect_is_not_read() -> None:
    """By its length, or by what has come."""
    location = (b"location", b"/")
    for fields, pieces in (([(b"content-length", b"99")], []), ([], [b"x" * 99])):
        stream, _ = stream_of(max_redirect_body=50)
        errors = [stream.begin_body(head(location, *fields, status=b"302"))]
        errors += [stream.add(piece, 0.0) for piece in pieces]
        assert any(errors)

    stream, _ = stream_of(max_redirect_body=50)
    assert stream.begin_body(head((b"content-length", b"99"))) is None


def test_a_long_body_gets_a_wide_window_once() -> None:
    """As soon as it is known to be long."""
    stream, connection = stream_of()
    stream.begin_body(head((b"content-length", str(STREAM_WINDOW + 1).encode())))
    assert connection.calls == [("widen", LONG_WINDOW)]

    stream, connection = stream_of()
    stream.begin_body(head())
    for _ in range(4):
        stream.add(b"x" * (STREAM_WINDOW // 2), 0.0)
    assert connection.calls == [("widen", LONG_WINDOW)]


def test_a_streamed_body_gives_its_window_back_when_it_is_taken() -> None:
    """And wakes its reader for each piece."""
    stream, connection = stream_of(streams=True)
    exchange = stream.exchange
    assert exchange is not None
    stream.begin_body(head((b"content-length", b"9000000")))
    assert exchange.future.done()
    assert exchange.head is not None

    stream.add(b"abc", 0.0)
    stream.add(b"de", 0.0)
    assert (stream.take_body(), stream.take_body()) == (b"abcde", b"")
    assert connection.calls == [("consume", 5)]
    assert stream.untaken == 0


def test_the_limit_that_has_passed_is_named() -> None:
    """The total before the others."""
    stream, _ = stream_of(deadline=5.0, minimum_rate=100.0)
    assert _phase(stream, 5.0) == "total"
    assert _phase(stream, 4.0) == "read"
    stream.unsent = 1
    assert _phase(stream, 4.0) == "write"

    stream, connection = stream_of(minimum_rate=100.0)
    stream.begin_body(head())
    assert connection.calls[-1][0] == "watch"
    assert isinstance(stream.passed_limit(stream.deadline), SentTooSlowly)


def _phase(stream: Stream, now: float) -> str:
    error = stream.passed_limit(now)
    assert isinstance(error, TimedOut)
    return error.phase


def test_a_request_is_sent_when_nothing_of_it_waits() -> None:
    """Then the wait for the answer begins; before, that for the windows."""
    stream, connection = stream_of(b"body", write_timeout=1.0, read_timeout=2.0)
    exchange = stream.exchange
    assert exchange is not None

    assert not stream.sent(10, 1.0)
    assert not stream.sent(10, 1.0)
    assert stream.unsent == 10
    assert len(connection.calls) == 1
    assert not stream.sent(5, 1.0)
    assert len(connection.calls) == 2
    assert stream.sent(0, 3.0)
    assert exchange.sent_at == 3.0
    assert len(connection.calls) == 3
    stream.exchange = None
    assert stream.sent(0, 4.0)


def test_blocked_time_is_taken_out_of_every_limit() -> None:
    """If the exchange had begun before it."""
    stream, _ = stream_of(deadline=10.0)
    exchange = stream.exchange
    assert exchange is not None
    stream.deadline = 10.0

    stream.take_out(2.0, -1.0)
    assert exchange.deadline == 10.0
    stream.take_out(2.0, 1.0)
    stream.give_more_time(1.0)
    assert (exchange.deadline, stream.deadline) == (13.0, 13.0)
    stream.exchange = None
    stream.give_more_time(1.0)
    assert (exchange.deadline, stream.deadline) == (13.0, 13.0)


def test_the_body_of_an_upload_is_passed_on() -> None:
    """Nothing is sent for an empty piece, or after the end of the exchange."""
    stream, connection = stream_of()

    stream.write(b"")
    stream.write(b"abc")
    stream.end_body()
    stream.fail(KeyError("x"))
    stream.exchange = None
    stream.write(b"late")
    stream.end_body()

    names = [call[:2] for call in connection.calls]
    assert names[:2] == [("send", b"abc"), ("send", b"")]
    assert [name for name, _ in names] == ["send", "send", "give up"]


def test_the_pieces_of_a_body_count_towards_the_least_rate() -> None:
    """Each moves the time at which the body has come too slowly; a blocked loop does so as well."""
    stream, _ = stream_of(minimum_rate=100.0)
    assert stream.exchange is not None
    stream.exchange.first_byte_at = 1.0
    stream.begin_body(head((b"content-length", b"100000")))
    first = stream.deadline
    stream.add(b"x" * 1000, 2.0)
    second = stream.deadline
    assert second > first
    stream.take_out(5.0, 3.0)

    assert stream.deadline == second + 5.0
    assert not isinstance(stream.passed_limit(second + 1.0), SentTooSlowly)
    assert isinstance(stream.passed_limit(second + 5.0), SentTooSlowly)
