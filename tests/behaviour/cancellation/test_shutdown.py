"""An event loop that ends while a batch runs, at every step of it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.cancellation.stepping import Steps, new_loop, step_tasks
from tests.behaviour.cancellation.ways import WAYS, Site, new_fetcher, serve_site

pytestmark = pytest.mark.once

MAX_STEPS = 3_000


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Run the servers for all tests here."""
    with serve_site() as site:
        yield site


def run_until_step(backend: str, name: str, site: Site, step: int) -> tuple[bool, list[str]]:
    """
    Let `asyncio.run` end before a step, with the batch still pending.

    Returns:
        Whether it came to that, and what the loop complained about.
    """
    way, options = WAYS[name]
    steps = Steps()
    complaints: list[str] = []
    running: list[Any] = []

    async def fetch() -> None:
        async with new_fetcher(options) as fetcher:
            await way(fetcher, site)

    async def main() -> bool:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(repr(context)))
        if backend == "uvloop":
            step_tasks(loop, steps)
        enough = asyncio.Event()
        running.append(asyncio.ensure_future(fetch()))
        running[0].add_done_callback(lambda _: enough.set())
        steps.act_at(step, enough.set)
        await enough.wait()
        return steps.disarm()

    with asyncio.Runner(loop_factory=lambda: new_loop(backend, steps)) as runner:
        acted = runner.run(main())
    assert running[0].done()
    return acted, complaints


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        pytest.param(name, backend, marks=[] if name in fast else pytest.mark.slow)
        for name in WAYS
        for backend, fast in (("asyncio", ("direct", "uploading", "over TLS")), ("uvloop", ()))
    ],
)
def test_a_loop_may_end_at_every_step_of_a_batch(name: str, backend: str, site: Site) -> None:
    """`asyncio.run` cancels what is left: no hang, no complaint, no socket; the fetcher closes."""
    for step in range(1, MAX_STEPS):
        acted, complaints = run_until_step(backend, name, site, step)
        assert complaints == [], f"at step {step}"
        if not acted:
            break
    gc.collect()

    assert step > 1
