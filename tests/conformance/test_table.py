"""The table, played in each lane: by default each case in some of its deliveries."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import anyio
import pytest

from conformance import Case, Delivery, Report, ScriptedServer, applies, play_all
from conformance.cases import CASES
from conformance.clients.ours import client_lane, direct_lane, plain_httpx, plain_httpx2, stock_lane
from conformance.known import PLAIN, STOCK, Fault, faults_of

pytestmark = [pytest.mark.timeout(900), pytest.mark.once]

LANES = {"direct": direct_lane, "client": client_lane}
LOOPS = ("asyncio", "uvloop", "trio")

BY_HTTPX = {"decoding", "redirect", "cookie"}
"""What httpx decides, and not its transport."""

AT_A_TIME = 16
MOST_TRIES = 3

# The one that finds the most, in the lane and on the loop that are used the most; of the others
# every third case, on trio in both lanes. Every pair of lane, loop and delivery is played only
# where it is asked for.
BY_DEFAULT = [
    ("direct", "asyncio", Delivery.WHOLE, 1),
    ("direct", "uvloop", Delivery.LINE_ENDS, 3),
    ("client", "asyncio", Delivery.HALVES, 3),
    ("direct", "trio", Delivery.HALVES, 3),
    ("client", "trio", Delivery.LINE_ENDS, 3),
]
EVERY = [(lane, loop, delivery) for lane in LANES for loop in LOOPS for delivery in Delivery]


# httpcore closes some connections by forgetting them.
left_to_the_collector = pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


def every(stride: int, cases: Sequence[Case] = CASES) -> Sequence[Case]:
    """Return every n-th case, from a first one that differs from seed to seed."""
    return cases[random.randrange(stride) :: stride]


def played(
    lane: Any,
    server: ScriptedServer,
    cases: Iterable[Case] = CASES,
    *,
    loop: str = "asyncio",
    delivery: Delivery = Delivery.WHOLE,
    neutral: bool = False,
    tries: int = 1,
) -> list[Report]:
    """
    Play the cases that apply and return what is not as expected, in none of so many tries.

    What took too long has three, since a machine that is busy makes it so.
    """

    async def play() -> list[Report]:
        async with lane(server.trust) as client:
            plays = [
                (case, delivery if delivery in case.deliveries else Delivery.WHOLE)
                for case in cases
                if applies(case, client)
            ]
            wrong = []
            for number in range(1, MOST_TRIES + 1):
                at_a_time = AT_A_TIME if number == 1 else 2
                reports = await play_all(
                    plays, client, server, at_a_time=at_a_time, neutral=neutral
                )
                plays = []
                for report in (report for report in reports if report.problems):
                    if number < (MOST_TRIES if report.is_late else tries):
                        plays.append((report.case, report.delivery))
                    else:
                        wrong.append(report)
            return wrong

    if loop == "uvloop":
        pytest.importorskip("uvloop")
    if loop == "trio":
        return anyio.run(play, backend="trio")
    return anyio.run(play, backend_options={"use_uvloop": loop == "uvloop"})


@pytest.mark.parametrize(("lane", "loop", "delivery", "stride"), BY_DEFAULT)
def test_every_case_comes_out_as_expected(
    lane: str, loop: str, delivery: Delivery, stride: int, scripted: ScriptedServer
) -> None:
    """The answer or the failure that the table expects, at once, and the canary's own answer."""
    wrong = played(LANES[lane], scripted, every(stride), loop=loop, delivery=delivery)

    assert [str(report) for report in wrong] == []


@pytest.mark.slow
@pytest.mark.parametrize(("lane", "loop", "delivery"), EVERY)
def test_every_case_comes_out_as_expected_in_every_delivery(
    lane: str, loop: str, delivery: Delivery, scripted: ScriptedServer
) -> None:
    """However the bytes are cut, and on whatever loop."""
    wrong = played(LANES[lane], scripted, loop=loop, delivery=delivery)

    assert [str(report) for report in wrong] == []


@pytest.mark.parametrize(
    "delivery",
    [
        pytest.param(delivery, marks=[] if delivery is Delivery.LINES else [pytest.mark.slow])
        for delivery in Delivery
    ],
)
def test_our_transport_decides_as_expected_in_a_plain_httpx_client(
    delivery: Delivery, scripted: ScriptedServer
) -> None:
    """What a transport decides is as in our lanes; httpx's own decoding and redirects are not."""
    cases = [case for case in every(2) if not faults_of(case.name, PLAIN)]

    wrong = played(plain_httpx, scripted, cases, delivery=delivery)

    assert [str(report) for report in wrong] == []


@pytest.mark.may_block  # httpcore2 is imported here
def test_our_transport_decides_as_expected_in_a_plain_client_of_httpx2(
    scripted: ScriptedServer,
) -> None:
    """Of its own library too, what is not decoded, followed or stored decides the transport."""
    pytest.importorskip("httpx2")
    cases = [
        case
        for case in every(3)
        if case.decided_by not in BY_HTTPX and not faults_of(case.name, PLAIN)
    ]

    wrong = played(plain_httpx2, scripted, cases, delivery=Delivery.LINES)

    assert [str(report) for report in wrong] == []


def test_what_is_left_to_httpx_is_nothing_that_a_transport_decides() -> None:
    """So the list cannot hide a fault of the transport."""
    listed = [case for case in CASES if faults_of(case.name, PLAIN)]

    assert listed
    assert {case.decided_by for case in listed} <= BY_HTTPX


@left_to_the_collector
def test_a_stock_client_passes_what_is_not_listed_as_its_own_fault(
    scripted: ScriptedServer,
) -> None:
    """Our lane adds nothing of its own to what httpx and httpcore get wrong each time."""
    cases = [case for case in every(3) if not faults_of(case.name, STOCK)]

    wrong = played(stock_lane, scripted, cases, neutral=True, tries=MOST_TRIES)

    assert [str(report) for report in wrong] == []


@left_to_the_collector
@pytest.mark.slow
@pytest.mark.parametrize(
    ("lane", "faults", "delivery"),
    [(stock_lane, STOCK, Delivery.WHOLE), (plain_httpx, PLAIN, Delivery.LINES)],
    ids=["stock", "plain"],
)
def test_the_faults_of_others_are_still_theirs(
    lane: Any, faults: tuple[Fault, ...], delivery: Delivery, scripted: ScriptedServer
) -> None:
    """A release that mends one takes it off the list."""
    cases = [case for case in CASES if faults_of(case.name, faults)]

    reports = played(lane, scripted, cases, delivery=delivery, neutral=True)
    wrong = {report.case.name for report in reports}

    assert [fault.reason for fault in faults if not any(map(fault.covers, wrong))] == []


def test_each_case_has_a_name_of_its_own_and_a_source() -> None:
    """By the name it is found, by the source judged."""
    names = [case.name for case in CASES]

    assert sorted(names) == sorted(set(names))
    assert all(case.source for case in CASES)


@pytest.mark.parametrize("faults", [STOCK, PLAIN], ids=["stock", "plain"])
def test_each_name_in_a_list_of_faults_is_one_of_the_table(faults: tuple[Fault, ...]) -> None:
    """A case that is renamed is renamed there too."""
    names = [case.name for case in CASES]
    lone = [
        name
        for fault in faults
        for name in fault.names
        if not any(Fault("", (name,)).covers(each) for each in names)
    ]

    assert lone == []
