"""
Everything at once: each request has one result of the right kind, and nothing is left behind.

The seed is printed; `CHAOS_SEED` in the environment repeats it, `CHAOS_REQUESTS` sets the size.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import resource
import socket
from pathlib import Path
from typing import Any

import attrs
import pytest

from asyncbatch import Fetcher, Request
from tests.behaviour.faults.answers import MAX_BODY
from tests.behaviour.faults.chaos import LIMITS, Chaos
from tests.behaviour.faults.lanes import fetcher_on
from tests.behaviour.faults.world import World, resolving
from tests.conftest import BACKENDS
from tests.waiting import until

SHORT = 200
LONG = int(os.environ.get("CHAOS_REQUESTS", "30000"))
ROUND = 3_000
"""Requests after which memory is looked at."""

DESCRIPTORS = Path("/proc/self/fd")

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(not DESCRIPTORS.exists(), reason="sockets cannot be counted"),
]


# Not over httpx's own transport, on which some requests get the answers to others.
WAYS = [(loop, lane) for loop in ("asyncio", "uvloop") for lane in ("direct", "client")]


@pytest.fixture(params=[way for way in WAYS if way[0] in BACKENDS], ids="-".join)
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return an event loop and a lane on the engine."""
    way: tuple[str, str] = request.param
    return way


@pytest.fixture
def seed() -> int:
    """Return the seed of this run, and print it."""
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"CHAOS_SEED={seed}")
    return seed


@pytest.fixture(autouse=True)
def _names_and_downtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the names of the world be known, and hosts that are down be tried again soon."""
    monkeypatch.setattr("asyncbatch._policies._health.DOWN_FOR", 0.3)
    monkeypatch.setattr(socket, "getaddrinfo", resolving(socket.getaddrinfo))


def open_sockets() -> int:
    """Count the open sockets of this process."""
    count = 0
    for descriptor in DESCRIPTORS.iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += str(descriptor.readlink()).startswith("socket:")
    return count


@attrs.frozen
class Footprint:
    """What this process holds at a moment."""

    sockets: int
    tasks: int
    timers: int
    objects: int
    memory: int
    """Bytes."""

    @classmethod
    def now(cls) -> Footprint:
        """Look, once the garbage is collected."""
        gc.collect()
        # asyncio's loop tells its timers, uvloop does not.
        scheduled = getattr(asyncio.get_running_loop(), "_scheduled", ())
        return cls(
            sockets=open_sockets(),
            tasks=len(asyncio.all_tasks()),
            timers=sum(not handle.cancelled() for handle in scheduled),
            objects=len(gc.get_objects()),
            memory=int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize(),
        )


async def is_well(fetcher: Fetcher, world: World) -> bool:
    """Say whether all is well again as soon as the servers are."""
    place = world.places[0]
    urls = [url for n in range(8) for url in place.urls(f"/well/w{n}")]
    results = await fetcher.fetch_many([Request(url, timeout=30) for url in urls])
    return [result.kind for result in results.failures] == []


def counts_of(fetcher: Fetcher) -> dict[str, int]:
    """Return what the engine below holds."""
    transport: Any = fetcher.client._transport
    counts: dict[str, int] = transport.engine.counts()
    return counts


async def run_chaos(seed: int, lane: str, rounds: list[int]) -> list[Footprint]:
    """Send rounds of requests by one fetcher, which is then well, and gone without a trace."""
    options = attrs.asdict(LIMITS, recurse=False)
    del options["batch_timeout"]
    prints = []
    async with World(seed).open() as world:
        limits = {"max_body": MAX_BODY, "per_host": 8, "max_redirects": 4}
        async with fetcher_on(lane, **options, **limits, give_up_host_after=20) as fetcher:
            chaos = Chaos(world, fetcher, LIMITS)
            for count in rounds:
                await chaos.run(count)
                world.memory.forget()
                prints.append(Footprint.now())
            assert await is_well(fetcher, world)
            await until(lambda: not counts_of(fetcher)["connecting"])
            counts = counts_of(fetcher)
            assert counts["connections"] == counts["idle"] <= 100
            assert counts["waiting"] == 0
        assert counts_of(fetcher) == {}
    print(f"{chaos.sent} sent, {chaos.cancelled} cancelled, ended: {dict(chaos.checker.ended)}")
    print(f"{sum(world.memory.counts.values())} arrived: {dict(world.memory.counts)}")
    print(f"worst stall: {world.worst_stall:.3f} s")
    assert chaos.checker.wrong == []
    assert world.memory.bodies == []
    assert chaos.sent == sum(rounds)
    return prints


async def test_each_request_has_one_result_of_the_right_kind(seed: int, lane: str) -> None:
    """Over hosts that fail in every way at once, and no socket, task or timer is left."""
    before = Footprint.now()
    await run_chaos(seed, lane, [SHORT])

    await until(lambda: open_sockets() <= before.sockets)
    after = Footprint.now()
    assert (after.tasks, after.timers) == (before.tasks, before.timers)


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_tens_of_thousands_run_in_flat_memory(seed: int, lane: str) -> None:
    """The same for long: what is held after the last round is what was held after the second."""
    prints = await run_chaos(seed, lane, [ROUND] * (LONG // ROUND))

    for footprint in prints:
        print(footprint)
    assert prints[-1].objects < prints[1].objects * 1.05
    assert prints[-1].memory < prints[1].memory + 8_000_000
    assert prints[-1].sockets < prints[1].sockets + 100
