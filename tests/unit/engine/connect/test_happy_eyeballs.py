"""Several addresses of one name: in which order, how long after one another, and how many."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

import pytest

from asyncbatch._engine.connect._happy_eyeballs import HEAD_START, MAX_SILENT, race
from asyncbatch._engine.connect._resolver import Address
from asyncbatch.testing import FakeClock

# Their time is virtual, which takes a loop of asyncio's own.
pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio"])

V4, V6 = socket.AF_INET, socket.AF_INET6


def addresses(count: int) -> list[Address]:
    return [Address(V4, (f"10.0.0.{number}", 80)) for number in range(count)]


class Network:
    """Addresses that answer when they are told to, and when each was tried."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.tried: list[tuple[str, float]] = []
        self.silent: list[Address] = []
        self.answers: dict[str, Callable[[], Awaitable[None]]] = {}

    async def connect(self, address: Address) -> socket.socket:
        host = address.sockaddr[0]
        self.tried.append((host, round(self._clock.elapsed, 6)))
        if host in self.answers:
            await self.answers[host]()
        else:
            await asyncio.Event().wait()
        return socket.socket()

    async def race(self, found: list[Address], limit: float = 10.0) -> str | None:
        """Return what there was no answer within the limit for, or None."""
        try:
            async with asyncio.timeout(limit):
                (await race(found, self.connect, self.silent.extend)).close()
        except TimeoutError:
            return "timed out"
        return None


async def at_once() -> None:
    """Answer."""


async def refuse() -> None:
    raise ConnectionRefusedError("refused")


async def test_each_address_has_a_quarter_of_a_second_for_itself(anyio_backend: str) -> None:
    """Not less, which would open connections for nothing; not more, which would be waited for."""
    assert HEAD_START == 0.25
    with FakeClock() as clock:
        network = Network(clock)
        network.answers["10.0.0.3"] = at_once
        await network.race(addresses(5))

    tried = [("10.0.0.0", 0.0), ("10.0.0.1", 0.25), ("10.0.0.2", 0.5), ("10.0.0.3", 0.75)]
    assert network.tried == tried


async def test_an_answer_within_its_head_start_needs_no_other_address(anyio_backend: str) -> None:
    """However long that took."""
    with FakeClock() as clock:
        network = Network(clock)
        network.answers["10.0.0.0"] = lambda: asyncio.sleep(0.24)
        await network.race(addresses(2))

    assert network.tried == [("10.0.0.0", 0.0)]
    assert network.silent == []


async def test_a_refusal_ends_the_head_start(anyio_backend: str) -> None:
    """The next address is tried at once."""

    async def refuse_late() -> None:
        await asyncio.sleep(0.1)
        raise ConnectionRefusedError("refused")

    with FakeClock() as clock:
        network = Network(clock)
        network.answers |= {"10.0.0.0": refuse_late, "10.0.0.1": at_once}
        await network.race(addresses(3))

    assert network.tried == [("10.0.0.0", 0.0), ("10.0.0.1", 0.1)]


async def test_the_families_take_turns(anyio_backend: str) -> None:
    """So that a broken one costs one head start, not one for each of its addresses."""
    found = [
        *(Address(V6, (f"2001:db8::{number}", 80, 0, 0)) for number in range(3)),
        *addresses(2),
    ]
    with FakeClock() as clock:
        network = Network(clock)
        network.answers["10.0.0.1"] = at_once
        await network.race(found)

    hosts = [host for host, _ in network.tried]
    assert hosts == ["2001:db8::0", "10.0.0.0", "2001:db8::1", "10.0.0.1"]


async def test_addresses_that_refuse_do_not_count(anyio_backend: str) -> None:
    """A name of 50 addresses, 49 of which are dead, answers by the last."""
    with FakeClock() as clock:
        network = Network(clock)
        network.answers = {f"10.0.0.{number}": refuse for number in range(49)}
        network.answers["10.0.0.49"] = at_once
        ended = await network.race(addresses(50))

    assert ended is None
    assert len(network.tried) == 50
    assert clock.elapsed == 0


async def test_addresses_that_are_silent_are_so_many_at_most(anyio_backend: str) -> None:
    """Each of them holds a socket. When one refuses after all, the next one is tried."""
    release = asyncio.Event()

    async def refuse_at_last() -> None:
        await release.wait()
        raise ConnectionRefusedError("refused")

    with FakeClock() as clock:
        network = Network(clock)
        network.answers["10.0.0.7"] = refuse_at_last
        asyncio.get_running_loop().call_later(8.0, release.set)
        ended = await network.race(addresses(50))

    times = [time for _, time in network.tried]
    assert ended == "timed out"
    assert times == [*(HEAD_START * number for number in range(MAX_SILENT)), 8.0]


@pytest.mark.parametrize("count", [1, 3])
async def test_who_has_not_answered_in_time_is_told(count: int, anyio_backend: str) -> None:
    """An address counts as silent after its head start, which the last one here has not had."""
    with FakeClock() as clock:
        network = Network(clock)
        await network.race(addresses(count), limit=0.6)

    told = {1: ["10.0.0.0"], 3: ["10.0.0.0", "10.0.0.1"]}
    assert [address.sockaddr[0] for address in network.silent] == told[count]


async def test_who_was_overtaken_is_told(anyio_backend: str) -> None:
    """He had his head start, and more."""
    with FakeClock() as clock:
        network = Network(clock)
        network.answers["10.0.0.1"] = lambda: asyncio.sleep(0.05)
        await network.race(addresses(2))

    assert [address.sockaddr[0] for address in network.silent] == ["10.0.0.0"]


async def test_when_none_answers_some_are_named_and_the_others_counted(anyio_backend: str) -> None:
    """A hostile name has hundreds."""
    with FakeClock() as clock:
        network = Network(clock)
        network.answers = {f"10.0.0.{number}": refuse for number in range(40)}
        with pytest.raises(ConnectionRefusedError) as caught:
            await network.race(addresses(40))

    assert len(caught.value.__notes__) == 17
    assert caught.value.__notes__[-1] == "and 23 more"


async def test_who_was_given_no_time_to_answer_is_not_told(anyio_backend: str) -> None:
    """The only address of a name, given up before its head start was over."""
    with FakeClock() as clock:
        network = Network(clock)
        assert await network.race(addresses(1), limit=HEAD_START / 2) == "timed out"

    assert network.silent == []


async def test_the_last_to_refuse_leaves_the_others_their_time(anyio_backend: str) -> None:
    """They are waited for when there is no further address to try."""

    async def late() -> None:
        await asyncio.sleep(5.0)

    with FakeClock() as clock:
        network = Network(clock)
        network.answers = {"10.0.0.0": late, "10.0.0.1": refuse}
        assert await network.race(addresses(2)) is None

        assert round(clock.elapsed, 6) == 5.0


async def test_of_two_that_answer_at_once_one_is_closed(anyio_backend: str) -> None:
    """In one turn of the event loop."""
    opened: list[socket.socket] = []
    both = asyncio.Event()

    async def connect(address: Address) -> socket.socket:
        if address.sockaddr[0] == "10.0.0.1":
            both.set()
        await both.wait()
        opened.append(socket.socket())
        return opened[-1]

    with FakeClock():
        winner = await race(addresses(2), connect, lambda _: None)

    assert [sock.fileno() < 0 for sock in opened] == [sock is not winner for sock in opened]
    assert len(opened) == 2
    winner.close()


async def test_what_connects_although_it_was_cancelled_is_closed(anyio_backend: str) -> None:
    """Its success came in the turn in which another one won."""
    opened: list[socket.socket] = []

    async def connect(address: Address) -> socket.socket:
        if address.sockaddr[0] == "10.0.0.0":
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        opened.append(socket.socket())
        return opened[-1]

    with FakeClock():
        winner = await race(addresses(2), connect, lambda _: None)
        await asyncio.sleep(1.0)

    assert [sock.fileno() < 0 for sock in opened] == [False, True]
    assert winner is opened[0]
    winner.close()


async def test_an_error_that_no_other_address_mends_ends_the_race(anyio_backend: str) -> None:
    """Such as that of a port that is no port; the attempts in progress are cancelled."""
    cancelled: list[str] = []

    async def connect(address: Address) -> socket.socket:
        host = address.sockaddr[0]
        if host == "10.0.0.1":
            raise OverflowError("port must be 0-65535")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(host)
            raise
        raise AssertionError

    with FakeClock():
        with pytest.raises(OverflowError):
            await race(addresses(3), connect, lambda _: None)
        await asyncio.sleep(1.0)

    assert cancelled == ["10.0.0.0"]
