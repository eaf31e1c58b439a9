"""What is put between httpcore and its network backend."""

from __future__ import annotations

import socket
from typing import Any

import anyio
import httpcore
import pytest

from asyncbatch._engine.bridge import _backend
from asyncbatch._engine.bridge._backend import CheckedBackend, TidyBackend, TidyStream

pytestmark = pytest.mark.any_loop


class Backend:
    """Connects to the addresses that answer, and remembers which it was asked for."""

    def __init__(self, *answering: str, stream: Any = "stream") -> None:
        self.answering = answering
        self.asked: list[Any] = []
        self.stream = stream

    async def connect_tcp(self, host: str, *args: Any, **options: Any) -> Any:
        self.asked.append((host, *args))
        if host not in self.answering:
            raise httpcore.ConnectError(host)
        return self.stream

    async def connect_unix_socket(self, path: str, *args: Any) -> Any:
        self.asked.append((path, *args))
        return self.stream

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the list of what each name is at; empty, there is no such name."""
    found: list[Any] = []

    async def getaddrinfo(host: Any, port: Any, **_: Any) -> Any:
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in found]

    monkeypatch.setattr(_backend.anyio, "getaddrinfo", getaddrinfo)
    return found


def even(address: Any) -> bool:
    """Allow addresses whose last number is even."""
    return int(str(address).rpartition(".")[2]) % 2 == 0


async def test_only_allowed_addresses_are_connected_to(addresses: list[Any]) -> None:
    """In order, until one answers; what httpcore asked for is asked of each."""
    addresses += [(f"127.0.0.{n}", 80) for n in range(1, 7)]
    backend = Backend("127.0.0.4", "127.0.0.6")
    checked = CheckedBackend(backend, even, httpcore)

    assert await checked.connect_tcp("a.test", 80, 5.0, None, iter([(1, 2, 3)])) == "stream"
    assert backend.asked == [(f"127.0.0.{n}", 80, 5.0, None, [(1, 2, 3)]) for n in (2, 4)]


async def test_the_error_is_that_of_the_last_address(addresses: list[Any]) -> None:
    """None of them answers."""
    addresses += [("127.0.0.2", 80), ("127.0.0.4", 80)]
    with pytest.raises(httpcore.ConnectError, match=r"127\.0\.0\.4"):
        await CheckedBackend(Backend(), even, httpcore).connect_tcp("a.test", 80)


async def test_a_host_none_of_whose_addresses_is_allowed_is_not_connected_to(
    addresses: list[Any],
) -> None:
    """It is told as httpcore tells a connect that failed."""
    addresses += [("127.0.0.1", 80)]
    backend = Backend("127.0.0.1")
    with pytest.raises(httpcore.ConnectError, match="not allowed"):
        await CheckedBackend(backend, even, httpcore).connect_tcp("a.test", 80)

    assert backend.asked == []


async def test_a_name_that_is_none_is_a_failed_connect(addresses: list[Any]) -> None:
    """As with httpcore's own backends."""
    with pytest.raises(httpcore.ConnectError, match="no such name"):
        await CheckedBackend(Backend(), even, httpcore).connect_tcp("a.test", 80)


async def test_a_name_has_the_time_of_a_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever holds the resolver up."""

    async def hang(*_: Any, **__: Any) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(_backend.anyio, "getaddrinfo", hang)
    with pytest.raises(httpcore.ConnectTimeout, match=r"'a\.test'"):
        await CheckedBackend(Backend(), even, httpcore).connect_tcp("a.test", 80, timeout=0.01)


async def test_what_has_no_address_is_passed_on() -> None:
    """A path, and a moment."""
    backend = Backend(stream=Stream())
    for one in (CheckedBackend(backend, even, httpcore), TidyBackend(backend)):
        await one.connect_unix_socket("/tmp/socket")
        await one.sleep(0.5)

    assert [asked[0] if isinstance(asked, tuple) else asked for asked in backend.asked] == [
        *("/tmp/socket", 0.5, "/tmp/socket", 0.5)
    ]


class Stream:
    """A stream whose handshake does as it is told."""

    def __init__(self, end: BaseException | None = None) -> None:
        self.end = end
        self.is_closed = False
        self.is_slow_to_close = False

    async def start_tls(self, *args: Any, **options: Any) -> Any:
        if self.end is not None:
            raise self.end
        await anyio.lowlevel.checkpoint()
        return Stream()

    async def read(self, *args: Any) -> bytes:
        return b"read"

    async def write(self, *args: Any) -> None:
        pass

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.is_closed = True

    def get_extra_info(self, info: str) -> str:
        return info


async def test_a_stream_is_passed_through() -> None:
    """Before the handshake and after it; an IPv6 zone is connected to as the system names it."""
    backend = Backend("fe80::1%eth0", stream=Stream())
    stream = await TidyBackend(backend).connect_tcp("fe80::1%25eth0", 80)
    for each in (stream, await stream.start_tls()):
        assert isinstance(each, TidyStream)
        assert await each.read(9) == b"read"
        assert each.get_extra_info("socket") == "socket"
    assert isinstance(await TidyBackend(backend).connect_unix_socket("/x"), TidyStream)


@pytest.mark.parametrize("error", [OSError("reset"), KeyboardInterrupt()])
async def test_a_handshake_that_fails_closes_the_connection(error: BaseException) -> None:
    """Httpcore does so for some errors."""
    stream = Stream(error)
    with pytest.raises(type(error)):
        await TidyStream(stream).start_tls()

    assert stream.is_closed


async def test_a_handshake_that_is_cancelled_closes_the_connection() -> None:
    """Though closing it has to wait."""
    stream = Stream()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await TidyStream(stream).start_tls()

    assert stream.is_closed
