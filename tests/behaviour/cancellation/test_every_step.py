"""
Cancellation at every step there is, over real sockets: nothing is lost, held or left behind.

Each way of waiting is run again and again, and cut off before the first, second, third … step of
the event loop, until it ends without having been cut off. `-m slow` takes all steps; otherwise it
is the first and every twelfth one of the long ways, from one that differs from seed to seed.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import anyio
import pytest

from asyncbatch import Fetcher
from tests.behaviour.cancellation.stepping import SteppingLoop, Steps, run_stepping
from tests.behaviour.cancellation.ways import (
    CONCURRENCY,
    STOCK,
    WAYS,
    Site,
    new_fetcher,
    serve_site,
)

pytestmark = pytest.mark.once

# More than any of the batches takes.
MAX_STEPS = 3_000

# What differs most between the back ends; the rest of the others is for `-m slow`.
CORE = ("direct", "uploading", "over TLS", "streaming in order")

# Some have fewer than twelve steps.
SHORT = ("direct", "single", "through the client", "replayed", "thrown away")


def cases(names: Iterable[str], *backends: str) -> Any:
    """Pair ways with back ends, and say which steps to cut them off at: every, or every twelfth."""
    found = []
    for name, backend in itertools.product(names, backends):
        is_quick = backend == "asyncio" or name in CORE
        if name in SHORT and is_quick:
            found.append(pytest.param(name, backend, 1))
            continue
        found.append(pytest.param(name, backend, 1, marks=pytest.mark.slow))
        if is_quick:
            found.append(pytest.param(name, backend, 12))
    return pytest.mark.parametrize(("name", "backend", "stride"), found)


Cut = Callable[[Steps, int, Callable[[], Awaitable[Any]]], Awaitable[bool]]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Run the servers for all tests here."""
    with serve_site() as site:
        yield site


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what closes wait for longer than a test may take: so it must not wait at all."""
    monkeypatch.setattr("asyncbatch._engine.io._closing.CLOSE_SECONDS", 8.0)
    monkeypatch.setattr("asyncbatch._api._fetcher.CLOSE_SECONDS", 8.0)


async def by_scope(steps: Steps, step: int, run: Callable[[], Awaitable[Any]]) -> bool:
    """Cancel the scope around a batch before a step; say whether it came to that."""
    with anyio.CancelScope() as scope:
        steps.act_at(step, scope.cancel)
        await run()
    return steps.disarm()


async def by_task(steps: Steps, step: int, run: Callable[[], Awaitable[Any]]) -> bool:
    """Cancel the task of a batch, as asyncio itself does, and see that it obeys."""
    task = asyncio.ensure_future(run())
    accepted = False

    def cancel() -> None:
        nonlocal accepted
        accepted = task.cancel()

    steps.act_at(step, cancel)
    await asyncio.wait([task])
    assert task.cancelled() == accepted, f"at step {step}"
    return steps.disarm()


async def settle(is_quiet: Callable[[], bool], what: str) -> None:
    """Wait until what was cut off has let go of everything, for some seconds at most."""
    with anyio.move_on_after(60):
        while not is_quiet():  # noqa: ASYNC110  # what is waited for tells nobody
            await anyio.sleep(0.002)
    assert is_quiet(), f"something was left {what}"


def pool_of(fetcher: Fetcher) -> dict[str, int]:
    """Count what the pool of the engine holds; nothing where the engine is not used."""
    client: Any = fetcher.client
    counts: dict[str, int] = client.own_transport.engine.counts()
    return counts


def tasks_of_asyncio() -> set[asyncio.Task[Any]]:
    """Return the tasks of the running loop; none on trio."""
    try:
        return asyncio.all_tasks()
    except RuntimeError:
        return set()


def is_at_rest(fetcher: Fetcher, tasks: set[asyncio.Task[Any]]) -> bool:
    """Whether nothing is under way in the pool or, where that can be told, in the loop."""
    counts = pool_of(fetcher)
    if counts and (counts["connecting"] or counts["waiting"]):
        return False
    if counts and counts["connections"] != counts["idle"]:
        return False
    return tasks_of_asyncio() == tasks


async def canary(fetcher: Fetcher, site: Site) -> None:
    """See that the fetcher serves on, with all of its slots."""
    urls = [site.plain.url(f"/{number}") for number in range(CONCURRENCY)]
    before = site.plain.statistics().requests
    results = await fetcher.fetch_many(urls)

    assert [result.content for result in results] == [b"ok"] * CONCURRENCY
    assert site.plain.statistics().requests >= before + CONCURRENCY


async def cut_at_each_step(steps: Steps, name: str, site: Site, cut: Cut, stride: int) -> int:
    """Cut a way off before each of its steps, or each n-th, each time on a fetcher of its own.

    Returns:
        How often it was cut off.
    """
    way, options = {**WAYS, **STOCK}[name]
    loop: Any = asyncio.get_running_loop() if cut is by_task else None
    timers = loop.timers() if isinstance(loop, SteppingLoop) else 0
    tasks = tasks_of_asyncio()
    # The first step in any case: some ways have few.
    others = range(2 + random.randrange(stride), MAX_STEPS, stride)
    for count, step in enumerate((1, *others)):
        fetcher = new_fetcher(options)
        async with fetcher:
            acted = await cut(steps, step, lambda fetcher=fetcher: way(fetcher, site))
            seen = fetcher.statistics()
            assert (seen.in_flight, seen.batches, seen.waiting) == (0, 0, 0), f"at step {step}"
            await settle(
                functools.partial(is_at_rest, fetcher, tasks), f"in the pool at step {step}"
            )
            await canary(fetcher, site)
        await settle(lambda: site.open_connections == 0, f"of its connections at step {step}")
        if isinstance(loop, SteppingLoop):
            assert loop.timers() == timers, f"at step {step}"
        if not acted:
            return count
    raise AssertionError("the batch never ended by itself")


def run_and_cut(backend: str, name: str, site: Site, cut: Cut, stride: int) -> None:
    async def main(steps: Steps) -> int:
        with anyio.fail_after(250):
            return await cut_at_each_step(steps, name, site, cut, stride)

    count, complaints = run_stepping(backend, main)
    gc.collect()

    assert count > 0
    assert complaints == []


# An upload that is cancelled on trio leaves its generators to the garbage collector: httpcore's
# doing, and trio tells.
@pytest.mark.filterwarnings(
    "ignore:.*AsyncIteratorByteStream:pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.filterwarnings("ignore:.*trickle:pytest.PytestUnraisableExceptionWarning")
@cases({**WAYS, **STOCK}, "asyncio", "uvloop", "trio")
def test_a_batch_can_be_cut_off_at_every_step(
    name: str, backend: str, stride: int, site: Site
) -> None:
    """By the cancellation of a scope: the fetcher serves on with all of its slots."""
    run_and_cut(backend, name, site, by_scope, stride)


@cases(WAYS, "asyncio", "uvloop")
def test_a_task_can_be_cancelled_at_every_step(
    name: str, backend: str, stride: int, site: Site
) -> None:
    """By asyncio's own cancellation, as `asyncio.timeout` and `asyncio.run` do it on Ctrl-C."""
    run_and_cut(backend, name, site, by_task, stride)
