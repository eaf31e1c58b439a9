"""That what is measured layer by layer can still be measured, and that the docs show the record."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncbatch.testing import LoopbackServer, Reply
from benchmarks import report
from benchmarks.clients import find_client
from benchmarks.entrant import Setting
from benchmarks.layers import LAYERS
from benchmarks.record import Measurement, Record
from benchmarks.targets import TARGETS
from benchmarks.workloads import AIOHTTP, OURS, RESOURCES, WAYS, Workload

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


@pytest.mark.parametrize("workload", WAYS, ids=lambda workload: workload.name)
def test_a_way_of_use_has_a_target_and_is_shown(workload: Workload) -> None:
    """By CPU time, which the server disturbs less."""
    record = Record.read(ROOT / "benchmarks" / "results.json")
    figures = {"requests": 1, "wall": 1.0, "cpu": 1.0}
    record.measurements = [
        Measurement(workload.name, *entrant, 1, figures) for entrant in (OURS, AIOHTTP)
    ]

    assert [target for target in TARGETS if target.above.workload == workload.name]
    assert workload.title[1:] in report.ways(record)
