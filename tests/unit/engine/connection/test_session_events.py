"""What the events of a session do to the exchanges that they are about, without a connection."""

from __future__ import annotations

from typing import Any

import pytest

from asyncbatch._engine import ExchangeLimits
from asyncbatch._engine._exchange import NEVER, Exchange, Origin
from asyncbatch._engine.connection._session_events import SessionEvents
from asyncbatch._engine.connection._stream import Stream
from asyncbatch._engine.http2 import ErrorCode
from asyncbatch._engine.http2._fields import HeadReader
from asyncbatch._engine.http11 import ProtocolError, ResponseHead, TruncatedResponse
from tests.unit.engine.connection.test_stream import Connection, Future


class Recorder(Connection):
    """A connection that writes down what the events ask for."""

    speaks_http11 = False

    def complete(self, stream: Stream, last: bytes, trailers: Any) -> None:
        self.calls.append(("complete", stream.number, last, trailers))

    def goes_over_http11(self, stream: Stream, exchange: Exchange) -> bool:
        return self.speaks_http11

    def settings_changed(self) -> None:
        self.calls.append(("settings",))

    def server_leaves(self) -> None:
        self.calls.append(("leaves",))

    def server_refuses(self) -> None:
        self.calls.append(("refuses",))

    def session_ended(self, error: Exception) -> None:
        self.calls.append(("ended", error))


class Session:
    """Of a session what the events call."""

    def __init__(self) -> None:
        self.consumed: list[tuple[int, int]] = []

    def consume(self, stream: int, size: int) -> None:
        self.consumed.append((stream, size))


class Case:
    """Events of a connection with open streams, the numbers of which are given."""

    def __init__(self, *numbers: int, **limits: Any) -> None:
        self.connection, self.session = Recorder(), Session()
        self.streams = {number: self._stream(number, limits) for number in numbers}
        self.events = SessionEvents(self.connection, self.streams)
        self.events.session = self.session  # type: ignore[assignment]  # enough of one
        self.events.now = 7.0

    def _stream(self, number: int, limits: dict[str, Any]) -> Stream:
        future: Any = Future()
        terms = ExchangeLimits(**limits)
        origin = Origin(True, "a", 1)
        exchange = Exchange(future, origin, b"GET", b"", None, terms, NEVER, False, 1.0)
        stream = Stream(self.connection, exchange)
        stream.number = number
        return stream

    @property
    def errors(self) -> list[Exception]:
        return [call[1] for call in self.connection.calls if call[0] == "give up"]


def head(*fields: tuple[bytes, bytes]) -> ResponseHead:
    return HeadReader().read(((b":status", b"200"), *fields))


def test_a_response_in_two_pieces_completes_its_exchange_with_the_last() -> None:
    """What came before is the stream's; the windows of both are given back."""
    case = Case(1)

    case.events.head_received(1, head(), is_end=False)
    case.events.content_received(1, b"ab", is_end=False)
    case.events.content_received(1, b"c", is_end=True)

    assert case.connection.calls == [("complete", 1, b"c", ())]
    assert case.session.consumed == [(1, 2), (1, 1)]
    assert case.streams[1].take_rest(b"c") == b"abc"


def test_a_head_without_a_body_completes_its_exchange() -> None:
    """As do trailers."""
    case = Case(1, 3)

    case.events.head_received(1, head(), is_end=True)
    case.events.trailers_received(3, ((b"a", b"b"),))

    assert case.connection.calls == [
        ("complete", 1, b"", ()),
        ("complete", 3, b"", ((b"a", b"b"),)),
    ]


def test_the_first_byte_is_that_of_the_first_event() -> None:
    """An informational response counts."""
    case = Case(1)
    exchange = case.streams[1].exchange
    assert exchange is not None

    case.events.informational_received(1)
    case.events.now = 9.0
    case.events.head_received(1, head(), is_end=False)

    assert exchange.first_byte_at == 7.0


def test_a_streamed_piece_is_not_given_back_before_its_reader_takes_it() -> None:
    """That holds up the server."""
    case = Case(1, streams=True)

    case.events.head_received(1, head(), is_end=False)
    case.events.content_received(1, b"ab", is_end=False)

    assert case.session.consumed == []
    assert case.streams[1].untaken == 2


@pytest.mark.parametrize("is_end", [True, False])
def test_a_body_that_is_too_long_is_given_up(is_end: bool) -> None:
    """With its last piece too."""
    case = Case(1, max_body=3)

    case.events.head_received(1, head(), is_end=False)
    case.events.content_received(1, b"abcd", is_end=is_end)

    assert [str(error) for error in case.errors] == ["the body is larger than 3 bytes"]
    assert len(case.connection.calls) == 1


def test_an_event_of_a_stream_that_has_ended_is_passed_over() -> None:
    """But its window is given back."""
    case = Case()

    case.events.informational_received(1)
    case.events.head_received(1, head(), is_end=False)
    case.events.content_received(1, b"ab", is_end=False)
    case.events.trailers_received(1, ())
    case.events.stream_reset(1, ErrorCode.CANCEL)
    case.events.stream_refused(1)
    case.events.stream_failed(1, ProtocolError("x"))

    assert case.connection.calls == []
    assert case.session.consumed == [(1, 2)]
    assert case.events.take_refused() == []


def test_a_reset_is_named_with_where_it_came() -> None:
    """Before the head, or inside the body."""
    case = Case(1, 3, 5)

    case.events.stream_reset(1, ErrorCode.INTERNAL_ERROR)
    case.events.head_received(3, head(), is_end=False)
    case.events.stream_reset(3, ErrorCode.CANCEL)
    case.events.stream_reset(5, 99)

    assert [str(error) for error in case.errors] == [
        "the server reset the stream: INTERNAL_ERROR",
        "the server reset the stream inside the body: CANCEL",
        "the server reset the stream: error 99",
    ]
    assert all(isinstance(error, TruncatedResponse) for error in case.errors)


@pytest.mark.parametrize("allowed", [True, False])
def test_a_stream_that_requires_http11_is_refused_or_failed(allowed: bool) -> None:
    """The connection knows whether its exchange may be sent again so."""
    case = Case(1)
    case.connection.speaks_http11 = allowed

    case.events.stream_reset(1, ErrorCode.HTTP_1_1_REQUIRED)

    assert bool(case.events.refused) is allowed
    assert bool(case.errors) is not allowed


def test_refused_streams_are_taken_once_and_the_oldest_first() -> None:
    """In the order in which their requests were made."""
    case = Case(1, 3, 5)

    for number in (3, 5, 1):
        case.events.stream_refused(number)

    assert [stream.number for stream in case.events.take_refused()] == [1, 3, 5]
    assert case.events.take_refused() == []


def test_a_response_that_is_not_valid_is_given_up() -> None:
    """With the error that the session has found."""
    case, error = Case(1), ProtocolError("bad")

    case.events.stream_failed(1, error)

    assert case.errors == [error]


def test_what_is_about_the_connection_is_passed_on() -> None:
    """Settings, a farewell, the end."""
    case, error = Case(), ProtocolError("bad")

    case.events.settings_changed()
    case.events.server_leaves()
    case.events.session_ended(error)

    assert case.connection.calls == [("settings",), ("leaves",), ("ended", error)]
