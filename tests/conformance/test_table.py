"""The table, played in each lane."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conformance import ScriptedServer, play_all
from conformance.cases import CASES
from conformance.clients.ours import client_lane, direct_lane, plain_httpx


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.mark.asyncio_only
@pytest.mark.parametrize("lane", [direct_lane, client_lane])
async def test_every_case_comes_out_as_expected(lane, scripted: ScriptedServer) -> None:
    """What the table expects is what comes, in every delivery."""
    async with lane(scripted.trust) as client:
        plays = [(case, delivery) for case in CASES for delivery in case.deliveries]
        reports = await play_all(plays, client, scripted)

    assert [str(report) for report in reports if report.problems] == []


def test_each_case_has_a_name_of_its_own_and_a_source() -> None:
    """By the name it is found, by the source judged."""
    names = [case.name for case in CASES]

    assert sorted(names) == sorted(set(names))
    assert all(case.source for case in CASES)


@pytest.mark.asyncio_only
async def test_plain_httpx_on_our_transport_ends_as_expected_where_a_transport_decides(
    scripted: ScriptedServer,
) -> None:
    """Redirects and decoding are httpx's own."""
    async with plain_httpx(scripted.trust) as client:
        plays = [
            (case, delivery)
            for case in CASES
            if case.decided_by in ("transport", "limit") and not case.features & client.lacks
            for delivery in case.deliveries
        ]
        reports = await play_all(plays, client, scripted)

    assert len(plays) > 200
    assert [str(report) for report in reports if report.problems] == []
