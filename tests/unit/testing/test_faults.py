"""Faults by themselves: what they raise, when, and which requests they strike."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from asyncbatch.testing import Fault
from tests.transports import run_virtually

pytestmark = pytest.mark.any_loop


def request(url: str = "http://a.test/x", method: str = "GET", **timeout: float) -> httpx.Request:
    extensions = {"timeout": timeout} if timeout else {}
    return httpx.Request(method, url, extensions=extensions)


async def strike(fault: Fault, given: httpx.Request | None = None, extra: float = 0.0) -> Any:
    """Let a fault strike a request that would be answered, and read the response."""

    async def forward() -> httpx.Response:
        return httpx.Response(200, content=b"0123456789")

    response = await fault.effect(httpx, given or request(), forward, extra)
    await response.aread()
    return response


@pytest.mark.parametrize(
    ("fault", "error", "cause"),
    [
        (Fault.connect(), httpx.ConnectError, ConnectionRefusedError),
        (Fault.dns(), httpx.ConnectError, socket.gaierror),
        (Fault.tls(), httpx.ConnectError, ssl.SSLCertVerificationError),
        (Fault.timeout(), httpx.ReadTimeout, TimeoutError),
        (Fault.timeout("connect"), httpx.ConnectTimeout, TimeoutError),
        (Fault.timeout("write"), httpx.WriteTimeout, TimeoutError),
        (Fault.timeout("pool"), httpx.PoolTimeout, TimeoutError),
        (Fault.reset(), httpx.ReadError, ConnectionResetError),
        (Fault.cut(), httpx.RemoteProtocolError, EOFError),
    ],
    ids=lambda value: getattr(value, "name", None),
)
async def test_a_fault_raises_what_httpx_would(
    fault: Fault, error: type[Exception], cause: type[Exception]
) -> None:
    """With its cause, a new one each time: tracebacks would add up in one that is shared."""
    causes = []
    for _ in range(2):
        with pytest.raises(error) as caught:
            await strike(fault)
        assert type(caught.value) is error
        assert type(caught.value.__cause__) is cause
        causes.append(caught.value.__cause__)

    assert causes[0] is not causes[1]


@pytest.mark.parametrize("made", [Fault.connect, Fault.dns, Fault.tls, Fault.timeout, Fault.cut])
def test_faults_of_one_kind_are_equal(made: Callable[[], Fault]) -> None:
    """As values are; what they raise is made when they strike."""
    assert made() == made()


@pytest.mark.parametrize(
    ("fault", "error"), [(Fault.reset, httpx.ReadError), (Fault.cut, httpx.RemoteProtocolError)]
)
@pytest.mark.parametrize("size", [0, 3, 10])
async def test_a_body_breaks_off_at_its_place(fault: Any, error: Any, size: int) -> None:
    """The head has come, and so many bytes."""

    async def forward() -> httpx.Response:
        return httpx.Response(200, headers={"x": "y"}, content=b"0123456789")

    response = await fault(body=size).effect(httpx, request(), forward, 0.0)
    content = bytearray()

    async def read() -> None:
        async for piece in response.aiter_raw():
            content.extend(piece)

    with pytest.raises(error):
        await read()

    assert (response.status_code, response.headers["x"]) == (200, "y")
    assert content == b"0123456789"[:size]


async def test_a_body_that_is_read_by_a_plain_iterator_breaks_off_too() -> None:
    """Unlike a generator, it has nothing to close."""
    left = [b"789", b"456", b"123"]

    class Pieces:
        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> bytes:
            return left.pop()

    class Body(httpx.AsyncByteStream):
        def __aiter__(self) -> Any:
            return Pieces()

    async def forward() -> httpx.Response:
        return httpx.Response(200, stream=Body())

    response = await Fault.cut(body=4).effect(httpx, request(), forward, 0.0)
    content = bytearray()

    async def read() -> None:
        async for piece in response.aiter_raw():
            content.extend(piece)

    with pytest.raises(httpx.RemoteProtocolError):
        await read()

    assert content == b"1234"
    assert left == [b"789"]


@pytest.mark.parametrize("retry_after", [None, 2])
async def test_a_status_is_answered_without_asking(retry_after: int | None) -> None:
    """With `Retry-After` where that is given."""
    fault = Fault.status(503, retry_after=retry_after)
    response = await strike(fault)

    assert fault.name == "503"
    assert (response.status_code, response.content) == (503, b"")
    assert response.headers.get("retry-after") == (None if retry_after is None else "2")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("fault", "extra", "read", "seconds", "is_answered"),
    [
        (Fault.latency(2.0), 0.0, None, 2.0, True),
        (Fault.latency(2.0, jitter=1.0), 0.5, 5.0, 2.5, True),
        (Fault.latency(2.0), 0.0, 1.0, 1.0, False),
        (Fault.hang(), 0.0, 3.0, 3.0, False),
    ],
)
def test_a_late_answer_takes_its_time(
    backend: str, fault: Fault, extra: float, read: float | None, seconds: float, is_answered: bool
) -> None:
    """Or that of the read timeout, if it is shorter."""
    import anyio

    async def main() -> tuple[bool, float]:
        begun = anyio.current_time()
        given = request() if read is None else request(read=read)
        try:
            response = await strike(fault, given, extra)
        except httpx.ReadTimeout:
            response = None
        return response is not None, anyio.current_time() - begun

    told, took = run_virtually(backend, main)

    assert told is is_answered
    assert took == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize(
    ("url", "method", "given", "matches"),
    [
        ("*", None, request(), True),
        ("http://a.test/*", None, request(), True),
        ("http://b.test/*", None, request(), False),
        ("http://a.test/*", "POST", request(), False),
        ("http://a.test/*", "POST", request(method="POST"), True),
        ("http://a.test/", None, request(), False),
    ],
)
def test_a_fault_strikes_what_it_is_on(
    url: str, method: str | None, given: httpx.Request, matches: bool
) -> None:
    """By method and URL."""
    assert Fault.dns().on(url, method=method).matches(given) is matches
    assert Fault.dns().matches(given)


def test_faults_are_narrowed_one_by_one() -> None:
    """The fault itself does not change; it needs random numbers if it says so."""
    fault = Fault.connect()
    narrowed = fault.on("http://a.test/*").sometimes(0.5).first(3)

    assert (fault.probability, fault.tries, fault.is_random) == (1.0, None, False)
    assert (narrowed.probability, narrowed.tries, narrowed.is_random) == (0.5, 3, True)
    assert Fault.latency(1.0, jitter=0.1).is_random


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fault.dns().sometimes(1.5),
        lambda: Fault.dns().first(0),
        lambda: Fault.latency(-1.0),
        lambda: Fault.latency(1.0, jitter=-1.0),
        lambda: Fault.reset(body=-1),
    ],
    ids=["probability", "tries", "latency", "jitter", "body"],
)
def test_a_fault_that_makes_no_sense_is_refused(make: Any) -> None:
    """Where it is made."""
    with pytest.raises(ValueError, match=r"\d"):
        make()
