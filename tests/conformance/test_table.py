"""The table, played in each lane."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conformance import ScriptedServer, play_all
from conformance.cases import CASES
from conformance.clients.ours import client_lane, direct_lane


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
