"""The event loop's transports as ours: what is told when, and what of it nobody may miss."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from asyncbatch._engine.io._closing import Closing
from asyncbatch._engine.io._loop_transport import LoopTransport
from asyncbatch._engine.io._readiness import never


class Native:
    """A transport of the event loop's."""

    is_aborted = False
    is_reading = True

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        """Take the limits."""

    def get_extra_info(self, name: str) -> object:
        """Return nothing: it is plain."""

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def abort(self) -> None:
        self.is_aborted = True


class Owner:
    """A connection that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def received(self, content: bytes | memoryview) -> None:
        self.told.append(bytes(content))

    def eof_received(self) -> None:
        self.told.append("end")

    def cut_off(self, error: Exception | None) -> None:
        self.told.append("cut")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(("lost", exc))

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")


class Calls:
    """An event loop that keeps the errors of callbacks."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context["exception"])


@pytest.fixture
def closing() -> Closing:
    loop: Any = SimpleNamespace()
    return Closing(loop)


def transport_of(closing: Closing, calls: Any = None) -> LoopTransport:
    return LoopTransport(calls, memoryview(bytearray(10)), never, closing)


def receive(transport: LoopTransport, content: bytes) -> None:
    transport.get_buffer(-1)[: len(content)] = content
    transport.buffer_updated(len(content))


def test_what_comes_before_there_is_an_owner_is_told_to_it(closing: Closing) -> None:
    """The event loop reads as soon as it has connected, into a buffer that others share."""
    transport = transport_of(closing)
    owner, error = Owner(), ConnectionResetError()
    transport.connection_made(Native())  # type: ignore[arg-type]
    receive(transport, b"one")
    receive(transport, b"two")
    transport.pause_writing()
    transport.resume_writing()
    transport.deliver_to(owner)
    assert owner.told == [b"one", b"two", "pause", "resume"]
    receive(transport, b"three")
    transport.connection_lost(error)

    assert owner.told[4:] == [b"three", ("lost", error)]


def test_the_next_owner_reads_what_one_that_has_paused_has_left(closing: Closing) -> None:
    """As the owner of a tunnel does, which reads no more than the proxy's reply."""
    transport, native = transport_of(closing), Native()
    first, second = Owner(), Owner()
    transport.connection_made(native)  # type: ignore[arg-type]
    transport.deliver_to(first)
    receive(transport, b"one")
    transport.pause_reading()
    assert not native.is_reading
    transport.deliver_to(second)
    assert native.is_reading
    receive(transport, b"two")

    assert (first.told, second.told) == ([b"one"], [b"two"])


def test_another_buffer_can_be_received_into(closing: Closing) -> None:
    """That of a body, which is not copied then."""
    transport, lent = transport_of(closing), bytearray(10)
    owner = Owner()
    transport.connection_made(Native())  # type: ignore[arg-type]
    transport.deliver_to(owner)
    transport.receive_into(memoryview(lent))
    receive(transport, b"one")

    assert owner.told == [b"one"]
    assert lent.startswith(b"one")


@pytest.mark.parametrize("end", ["eof_received", "connection_lost"])
def test_an_end_before_there_is_an_owner_is_told_to_it(closing: Closing, end: str) -> None:
    """Or a connection that is none any more would be put to use."""
    transport = transport_of(closing)
    owner = Owner()
    transport.connection_made(Native())  # type: ignore[arg-type]
    if end == "eof_received":
        transport.eof_received()
    else:
        transport.connection_lost(None)
    transport.deliver_to(owner)

    assert owner.told[0] == "end"


def test_one_that_was_given_up_meanwhile_is_closed(closing: Closing) -> None:
    """The event loop may make a transport for somebody who is gone."""
    transport, native = transport_of(closing), Native()
    transport.abort()
    transport.connection_made(native)  # type: ignore[arg-type]

    assert native.is_aborted


def test_no_memory_for_what_was_received_ends_the_connection(closing: Closing) -> None:
    """With that as the reason, and not as an error of the event loop."""
    transport, native, owner = (
        transport_of(closing),
        Native(),
        Owner(),
    )
    error = MemoryError()

    def received(content: bytes | memoryview) -> None:
        raise error

    owner.received = received  # type: ignore[method-assign]
    transport.connection_made(native)  # type: ignore[arg-type]
    transport.deliver_to(owner)
    receive(transport, b"one")

    assert owner.told == [("lost", error)]
    assert native.is_aborted


def test_an_error_after_the_owner_has_closed_it_is_reported(closing: Closing) -> None:
    """Nobody knows what the owner has done with its exchange, and no task waits for the call."""
    calls, owner, error = Calls(), Owner(), MemoryError()
    transport = transport_of(closing, calls)

    def received(content: bytes | memoryview) -> None:
        transport.abort()
        raise error

    owner.received = received  # type: ignore[method-assign]
    transport.connection_made(Native())  # type: ignore[arg-type]
    transport.deliver_to(owner)
    receive(transport, b"x")

    assert calls.errors == [error]
    assert owner.told == []


@pytest.mark.parametrize(
    ("told", "args"),
    [
        ("eof_received", ()),
        ("connection_lost", (None,)),
        ("pause_writing", ()),
        ("resume_writing", ()),
    ],
)
def test_an_error_of_the_owner_is_reported(closing: Closing, told: str, args: Any) -> None:
    """The event loop would log it, while a batch waits."""
    calls, owner, error = Calls(), Owner(), ZeroDivisionError()

    def fail(*_: object) -> None:
        raise error

    setattr(owner, told, fail)
    transport = transport_of(closing, calls)
    transport.connection_made(Native())  # type: ignore[arg-type]
    transport.deliver_to(owner)
    getattr(transport, told)(*args)

    assert calls.errors == [error]


@pytest.mark.parametrize("exit_type", [KeyboardInterrupt, SystemExit])
def test_an_exit_goes_on_to_the_event_loop(closing: Closing, exit_type: Any) -> None:
    """Which ends with it."""
    calls, owner = Calls(), Owner()

    def fail() -> None:
        raise exit_type

    owner.pause_writing = fail  # type: ignore[method-assign]
    transport = transport_of(closing, calls)
    transport.connection_made(Native())  # type: ignore[arg-type]
    transport.deliver_to(owner)
    with pytest.raises(exit_type):
        transport.pause_writing()

    assert calls.errors == []


def test_without_a_transport_there_is_nothing_to_do(closing: Closing) -> None:
    """Before there is one, and after it was given up."""
    transport = transport_of(closing)
    transport.write(b"x")
    transport.pause_reading()
    transport.resume_reading()
    transport.eof_received()
    transport.abort()
    transport.abort()

    assert transport.get_extra_info("socket") is None
