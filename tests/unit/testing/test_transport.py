"""
The transport in which things go wrong as told, under clients of httpx and of httpx2.
"""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from typing import Any

import anyio
import httpx
import httpx2
import pytest

from asyncbatch.testing import Fault, FaultTransport, LoopbackServer

URL = "https://example.org/"


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> Any:
    """Return the library that the client is of."""
    return request.param


@pytest.fixture
def make(library: Any) -> Any:
    """Return the class of transports for that library."""
    return FaultTransport.for_library(library)


async def outcome(transport: FaultTransport, url: str = URL, method: str = "GET") -> int | str:
    """Return the status of one request, or the name of its error."""
    async with httpx.AsyncClient(transport=transport) as client:
        try:
            return (await client.request(method, url)).status_code
        except httpx.TransportError as error:
            return type(error).__name__


@pytest.mark.parametrize(
    ("fault", "error", "cause"),
    [
        (Fault.connect(), "ConnectError", ConnectionRefusedError),
        (Fault.dns(), "ConnectError", socket.gaierror),
        (Fault.tls(), "ConnectError", ssl.SSLCertVerificationError),
        (Fault.timeout("connect"), "ConnectTimeout", TimeoutError),
        (Fault.timeout("read"), "ReadTimeout", TimeoutError),
        (Fault.timeout("write"), "WriteTimeout", TimeoutError),
        (Fault.timeout("pool"), "PoolTimeout", TimeoutError),
        (Fault.reset(), "ReadError", ConnectionResetError),
        (Fault.reset(body=2), "ReadError", ConnectionResetError),
        (Fault.cut(), "RemoteProtocolError", EOFError),
        (Fault.cut(body=2), "RemoteProtocolError", EOFError),
    ],
)
async def test_a_fault_raises_the_error_of_the_library(
    library: Any, make: Any, fault: Fault, error: str, cause: type[Exception]
) -> None:
    """The error is the client's own, knows its request, and has the cause that a socket gives."""
    async with library.AsyncClient(transport=make(faults=[fault])) as client:
        with pytest.raises(getattr(library, error)) as caught:
            await client.get(URL)

    assert type(caught.value) is getattr(library, error)
    assert isinstance(caught.value.__cause__, cause)
    assert str(caught.value.request.url) == URL


@pytest.mark.parametrize("size", [0, 1, 5, 6, 99])
@pytest.mark.parametrize("make_fault", [Fault.reset, Fault.cut])
async def test_a_body_breaks_off_after_so_many_bytes(
    library: Any, make: Any, make_fault: Any, size: int
) -> None:
    """The bytes before the break arrive, with status and headers; the error comes behind them."""

    async def pieces() -> Any:
        yield b"123"
        yield b"456"

    transport = make(
        lambda _: library.Response(200, headers={"a": "b"}, content=pieces()),
        [make_fault(body=size)],
    )
    content = b""
    async with (
        library.AsyncClient(transport=transport) as client,
        client.stream("GET", URL) as response,
    ):
        with pytest.raises(library.TransportError):  # noqa: PT012 (the pieces are the point)
            async for piece in response.aiter_raw():
                content += piece

    assert response.headers["a"] == "b"
    assert content == b"123456"[:size]


# On trio, httpx and httpcore leave the generators of a body that is not read to its end to the
# garbage collector.
@pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning")
async def test_a_body_can_break_over_a_real_connection(server: LoopbackServer) -> None:
    """The connection behind a broken body is closed, and the next request gets another."""
    transport = FaultTransport(httpx.AsyncHTTPTransport(), [Fault.cut(body=1).first(1)])
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(server.url())
        response = await client.get(server.url())

    assert response.text == "ok"
    assert server.statistics().connections == 2


async def test_a_status_is_answered_without_asking(library: Any, make: Any) -> None:
    """The transport behind never sees the request."""
    asked: list[Any] = []
    transport = make(asked.append, [Fault.status(503, retry_after=2.5)])
    async with library.AsyncClient(transport=transport) as client:
        response = await client.get(URL)

    assert isinstance(response, library.Response)
    assert (response.status_code, response.headers["retry-after"]) == (503, "2.5")
    assert asked == []


async def test_retry_after_can_be_a_date() -> None:
    """A date is written as RFC 9110 has it; without `retry_after` there is no such header."""
    date = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    faults = [Fault.status(429, retry_after=date).first(1), Fault.status(429)]
    async with httpx.AsyncClient(transport=FaultTransport(faults=faults)) as client:
        first, second = await client.get(URL), await client.get(URL)

    assert first.headers["retry-after"] == "Wed, 02 Jan 2030 03:04:05 GMT"
    assert "retry-after" not in second.headers


async def test_latency_comes_before_the_answer(library: Any, make: Any) -> None:
    """A late answer is the answer."""
    transport = make(faults=[Fault.latency(0.001, jitter=0.001)])
    async with library.AsyncClient(transport=transport) as client:
        assert (await client.get(URL)).status_code == 200


@pytest.mark.parametrize("fault", [Fault.hang(), Fault.latency(3600)])
async def test_waiting_keeps_the_read_time_out(library: Any, make: Any, fault: Fault) -> None:
    """A request is given up when its read time-out is over, as on a real transport."""
    async with library.AsyncClient(transport=make(faults=[fault]), timeout=0.01) as client:
        with pytest.raises(library.ReadTimeout):
            await client.get(URL)


async def test_hanging_can_be_cancelled() -> None:
    """Without a time-out, a hanging request hangs until it is cancelled."""
    transport = FaultTransport(faults=[Fault.hang()])
    async with httpx.AsyncClient(transport=transport, timeout=None) as client:
        with anyio.move_on_after(0.01) as scope:
            await client.get(URL)

    assert scope.cancelled_caught


# What answers


async def test_without_anything_behind_it_answers_200() -> None:
    """The empty transport is a server on which all is well."""
    assert await outcome(FaultTransport()) == 200


async def test_a_function_answers() -> None:
    """A plain function sees the request, its body read."""
    transport = FaultTransport(lambda request: httpx.Response(200, content=request.content))
    async with httpx.AsyncClient(transport=transport) as client:
        assert (await client.put(URL, content=b"body")).content == b"body"


async def test_an_async_function_answers(library: Any, make: Any) -> None:
    """An `async` function serves too, and streamed bodies are read for it."""

    async def answer(request: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return library.Response(200, content=request.content)

    async def pieces() -> Any:
        yield b"bo"
        yield b"dy"

    async with library.AsyncClient(transport=make(answer)) as client:
        assert (await client.put(URL, content=pieces())).content == b"body"


async def test_a_transport_answers_and_is_closed(library: Any, make: Any) -> None:
    """The transport behind is used as it is, and closed with the client."""

    class Inner(library.AsyncBaseTransport):  # type: ignore[misc]
        closed = False

        async def handle_async_request(self, request: Any) -> Any:
            return library.Response(204, request=request)

        async def aclose(self) -> None:
            self.closed = True

    inner = Inner()
    async with library.AsyncClient(transport=make(inner)) as client:
        assert (await client.get(URL)).status_code == 204
        assert not inner.closed

    assert inner.closed


# Which requests are struck


async def test_a_fault_can_be_for_some_urls_or_a_method() -> None:
    """What the fault is narrowed to leaves other requests alone."""
    transport = FaultTransport(
        faults=[
            Fault.dns().on("https://gone.example/*"),
            Fault.reset().on("*/write", method="PUT"),
        ]
    )

    assert await outcome(transport, "https://gone.example/a?b") == "ConnectError"
    assert await outcome(transport, "https://gone.example.org/") == 200
    assert await outcome(transport, "https://a.example/write") == 200
    assert await outcome(transport, "https://a.example/write", "PUT") == "ReadError"


async def test_a_fault_can_be_for_the_first_tries() -> None:
    """Each URL fails so many times, and then succeeds."""
    transport = FaultTransport(faults=[Fault.connect().first(2)])

    outcomes = [await outcome(transport) for _ in range(4)]

    assert outcomes == ["ConnectError", "ConnectError", 200, 200]
    assert await outcome(transport, URL + "other") == "ConnectError"


async def struck(seed: int, urls: list[str]) -> dict[tuple[str, int], bool]:
    """Return whether each URL's every try was struck, asked for in the order of `urls`."""
    transport = FaultTransport(faults=[Fault.connect().sometimes(0.3)], seed=seed)
    seen: dict[tuple[str, int], bool] = {}
    for url in urls:
        number = sum(earlier == url for earlier, _ in seen)
        seen[url, number] = await outcome(transport, url) != 200
    return seen


async def test_chance_depends_on_seed_url_and_try_alone() -> None:
    """The order of the requests changes nothing, another seed does; the share is as told."""
    urls = [f"{URL}{number}" for number in range(60)] * 2
    result = await struck(0, urls)

    assert result == await struck(0, urls[::-1])
    assert result != await struck(1, urls)
    assert 18 <= sum(result.values()) <= 54
    assert any(result[url, 0] != result[url, 1] for url in urls)


async def test_faults_wrap_those_behind_them() -> None:
    """The first fault comes first, and what it keeps from happening is not counted."""
    transport = FaultTransport(
        faults=[Fault.latency(0.001), Fault.reset().first(1), Fault.status(503)]
    )
    outcomes = [await outcome(transport), await outcome(transport)]

    assert outcomes == ["ReadError", 503]
    assert transport.injected == {"latency": 2, "reset": 1, "503": 1}


async def test_requests_are_recorded_up_to_a_bound() -> None:
    """The latest requests can be looked at, those that were struck among them."""
    transport = FaultTransport(faults=[Fault.dns()], record=2)
    for path in "abc":
        await outcome(transport, URL + path)

    assert [request.url.path for request in transport.requests] == ["/b", "/c"]


@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_a_probability_is_from_0_to_1(probability: float) -> None:
    """A number that makes no sense is an error where it is written."""
    with pytest.raises(ValueError, match="must be"):
        Fault.dns().sometimes(probability)


def test_tries_are_one_or_more() -> None:
    """A fault for no try at all is a mistake."""
    with pytest.raises(ValueError, match="must be >= 1"):
        Fault.dns().first(0)
