"""The table over HTTP/2: the cases that can be said in it, with the same outcomes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

pytest.importorskip("ngh2")
pytest.importorskip("h2")

from conformance import Delivery, Request
from conformance.cases import CASES
from conformance.clients.over_http2 import client_lane, direct_lane
from conformance.http2 import Http2Server, why_not
from conformance.known import OTHER_OVER_HTTP2
from tests.conformance.test_table import every, played

pytestmark = [pytest.mark.timeout(900), pytest.mark.once]

LANES = {"direct": direct_lane, "client": client_lane}

BY_DEFAULT = [
    ("direct", "asyncio", Delivery.WHOLE, 3),
    ("direct", "uvloop", Delivery.HALVES, 6),
    ("direct", "trio", Delivery.LINES, 6),
    ("client", "asyncio", Delivery.WHOLE, 6),
]


@pytest.fixture
def scripted() -> Iterator[Http2Server]:
    with Http2Server() as server:
        yield server


@pytest.mark.parametrize(("lane", "loop", "delivery", "stride"), BY_DEFAULT)
def test_every_case_comes_out_as_over_http11(
    lane: str, loop: str, delivery: Delivery, stride: int, scripted: Http2Server
) -> None:
    """The answer or the failure that the table expects, at once, and the canary's own answer."""
    wrong = played(LANES[lane], scripted, every(stride), loop=loop, delivery=delivery, neutral=True)

    assert [str(report) for report in wrong] == []


@pytest.mark.slow
@pytest.mark.parametrize("delivery", Delivery)
@pytest.mark.parametrize("lane", LANES)
def test_every_case_comes_out_as_over_http11_in_every_delivery(
    lane: str, delivery: Delivery, scripted: Http2Server
) -> None:
    """However what is translated is cut."""
    wrong = played(LANES[lane], scripted, delivery=delivery, neutral=True)

    assert [str(report) for report in wrong] == []


@pytest.mark.parametrize("name", OTHER_OVER_HTTP2)
def test_what_is_refused_over_http2_alone_is_a_failure_of_protocol(
    name: str, scripted: Http2Server
) -> None:
    """Of a case that can be played, and is an answer over HTTP/1.1."""
    (case,) = (case for case in CASES if case.name == name)

    async def play() -> Any:
        async with direct_lane(scripted.trust) as client:
            with scripted.open(case) as run:
                return await client.fetch(run.url + case.request.path, Request())

    assert why_not(case) is None
    assert case.expected.answers
    assert anyio.run(play).kind == "protocol"


def test_the_documentation_says_how_many_are_played() -> None:
    """And why the others are not, by reason."""
    page = Path(__file__).parents[2] / "docs" / "contributing" / "conformance.md"
    reasons = [why_not(case) for case in CASES]
    rows = dict(re.findall(r"^\| ([^|]+) \| ([0-9]+) \|$", page.read_text(), re.MULTILINE))

    assert f"{reasons.count(None)} of the {len(CASES):,} cases" in page.read_text()
    for reason in set(reasons) - {None}:
        assert rows.get(f"{reason}") == str(reasons.count(reason)), reason
