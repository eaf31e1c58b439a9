"""That what is measured layer by layer can still be measured, and that the docs show the record."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from asyncbatch.testing import LoopbackServer, Reply
from benchmarks import report
from benchmarks.clients import find_client
from benchmarks.entrant import Setting
from benchmarks.layers import LAYERS
from benchmarks.origin import Ports
from benchmarks.record import Measurement, Record
from benchmarks.slow import SlowProtocol
from benchmarks.targets import TARGETS
from benchmarks.worker import measure_opening
from benchmarks.workloads import (
    AIOHTTP,
    BY_NAME,
    ORDINARY,
    OURS,
    OURS_UVLOOP,
    RESOURCES,
    WAYS,
    Workload,
)

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]


@pytest.mark.once
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_can_be_measured(name: str) -> None:
    """Its way through private parts leads somewhere."""
    repeat = LAYERS[name]()

    repeat(3)


def test_the_docs_show_the_record_that_is_kept() -> None:
    """`python -m benchmarks publish benchmarks/results.json` would change neither page."""
    record = Record.read(ROOT / "benchmarks" / "results.json")
    summary = (ROOT / "docs" / "performance.md").read_text()
    page = (ROOT / "docs" / "contributing" / "benchmarks.md").read_text()

    assert report.with_summary(record, summary) == summary
    assert report.page(record) == page


@pytest.mark.asyncio_only
@pytest.mark.parametrize("workload", WAYS, ids=lambda workload: workload.name)
async def test_a_way_of_use_can_be_measured(workload: Workload, server: LoopbackServer) -> None:
    """Its options and its input are taken, and every answer comes."""
    resource = RESOURCES[workload.resource]
    headers = {"set-cookie": resource.sets_cookie} if resource.sets_cookie else {}
    server.on(resource.path, Reply(body=resource.content, headers=headers))
    if resource.redirects_to:
        server.on(resource.path, Reply(302, headers={"location": resource.redirects_to}))
        server.on(resource.redirects_to, Reply(body=resource.content))
    first_url = server.url(resource.path)

    async with find_client("asyncbatch")(
        Setting(workload, resource.content, "", first_url)
    ) as fetch:
        await fetch(f"{first_url}?{n}" for n in range(20))

    assert server.statistics().requests == 20 * resource.hops
    if resource.wants_cookie:
        assert "=".join(resource.wants_cookie) in str(server.requests[-1].headers)


@pytest.mark.parametrize("name", ORDINARY)
def test_a_way_of_use_has_a_target_and_is_shown(name: str) -> None:
    """By CPU time, which the server disturbs less."""
    workload = BY_NAME[name]
    record = Record.read(ROOT / "benchmarks" / "results.json")
    figures = {"requests": 1, "wall": 1.0, "cpu": 1.0}
    record.measurements = [
        Measurement(workload.name, *entrant, 1, figures) for entrant in (OURS, AIOHTTP)
    ]

    assert [target for target in TARGETS if target.above.workload == workload.name]
    assert workload.title[1:] in report.summary(record)


def test_each_way_of_use_is_an_ordinary_one() -> None:
    """So that none is measured and not published."""
    assert {workload.name for workload in WAYS} <= set(ORDINARY)


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("headline", "http://127.0.0.1:1"),
        ("TLS", "https://127.0.0.1:2"),
        ("HTTP/2", "https://127.0.0.1:3"),
    ],
)
def test_a_workload_goes_to_the_server_of_its_protocol(name: str, origin: str) -> None:
    """One that speaks HTTP/2 and nothing else, for the workload over HTTP/2."""
    assert Ports(plain=1, tls=2, http2=3).origin_for(BY_NAME[name]) == origin


@pytest.mark.asyncio_only
async def test_it_is_measured_how_long_all_slots_take_to_open() -> None:
    """Against a server that holds its answers until all requests have been sent."""
    held = replace(BY_NAME["2,000 slots"], connections=20, latency=0.3, repeats=2)
    server = await asyncio.get_running_loop().create_server(SlowProtocol, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        content = RESOURCES["json"].content
        figures = await measure_opening(
            Setting(held, content, "", f"http://127.0.0.1:{port}"), port
        )

    assert figures["requests"] == 40
    assert figures["wall"] > 0.0
    assert figures["cpu"] > 0.0
    assert isinstance(figures["beyond"], float)


def test_a_slot_may_take_10_us_to_open() -> None:
    """On both event loops."""
    targets = [each for each in TARGETS if each.figure == "beyond"]
    workload = BY_NAME["2,000 slots"]

    assert [target.above.entrants for target in targets] == [(OURS,), (OURS_UVLOOP,)]
    for target in targets:
        assert target.above.workload == workload.name
        assert target.bound / target.scale == pytest.approx(workload.connections * 10e-6)
