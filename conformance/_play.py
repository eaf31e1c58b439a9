"""
Playing a case: one client, one server, one delivery, and what was wrong.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import anyio
import anyio.to_thread
import attrs

from ._case import Case, Hop, Request, Reuse
from ._delivery import Delivery
from ._expected import Answer, Expected
from ._outcome import HUNG, Outcome
from ._run_state import Run
from ._server import ScriptedServer

GRACE = 5.0
"""Seconds behind a request's own time limit after which a client counts as hung."""
SETTLING = 2.0
"""Seconds that a script has, at most, to end after the client is done."""
CANARY_TIMEOUT = 10.0


class Client(Protocol):
    """What a case is played against."""

    name: str
    lacks: frozenset[str]
    """What it cannot be asked for, of `Case.features`; and names of cases that do not apply."""

    async def fetch(self, url: str, request: Request) -> Outcome:
        """Send the request; whatever comes of it is returned, never raised."""
        ...


def applies(case: Case, client: Client) -> bool:
    """Say whether a client can be asked a case."""
    return not (case.features | {case.name}) & client.lacks


class Blocking:
    """A client of a function that blocks."""

    lacks: frozenset[str] = frozenset()

    def __init__(self, name: str, fetch: Callable[[str, Request], Outcome]) -> None:
        self.name = name
        self._fetch = fetch

    async def fetch(self, url: str, request: Request) -> Outcome:
        """Call the function in a thread, which is left behind if it hangs."""
        return await anyio.to_thread.run_sync(self._fetch, url, request, abandon_on_cancel=True)


@attrs.frozen
class Report:
    """What came of one case."""

    case: Case
    delivery: Delivery
    outcome: Outcome
    seconds: float
    problems: list[str]
    """What is not as expected, in words; empty if all is."""

    @property
    def is_late(self) -> bool:
        """Whether it has failed by taking too long, itself or its canary."""
        return self.outcome.kind in ("timeout", "hung") or any(
            "timeout" in problem.lower() or "where nothing was to wait for" in problem
            for problem in self.problems
        )

    def __str__(self) -> str:
        return (
            f"{self.case.name} ({self.delivery.value}): {'; '.join(self.problems) or 'as expected'}"
        )


async def play(
    case: Case,
    client: Client,
    server: ScriptedServer,
    delivery: Delivery = Delivery.WHOLE,
    *,
    neutral: bool = False,
) -> Report:
    """
    Play one case against one client, its canary included.

    With `neutral` it does not matter which connections are used again, so long as the canary gets
    its own answer: that is a matter of speed, about which clients have views of their own.
    """
    with server.open(case, delivery) as run:
        for order in range(case.warm):
            await _send_canary(client, run, -1 - order)
        await _wait(lambda: run.is_quiet)
        started = time.monotonic()
        outcome = await _bounded(client, run.url + case.request.path, case.request)
        seconds = time.monotonic() - started
        server.tell(run)
        await _wait(lambda: run.is_settled)
        problems = [*_judge(case.expected, outcome), *_judge_time(case, outcome, seconds)]
        if outcome.kind != HUNG:
            judged = attrs.evolve(case, reuse=Reuse.ANY) if neutral else case
            problems += await _judge_canary(judged, client, run, outcome)
        problems += _judge_traffic(case, run, outcome)
        return Report(case, delivery, outcome, seconds, problems)


async def play_all(
    plays: Iterable[tuple[Case, Delivery]],
    client: Client,
    server: ScriptedServer,
    *,
    at_a_time: int = 32,
    neutral: bool = False,
) -> list[Report]:
    """Play many cases, some at a time, and return the reports in order of the cases."""
    plays = list(plays)
    reports: dict[int, Report] = {}
    limiter = anyio.CapacityLimiter(at_a_time)

    async def one(number: int, case: Case, delivery: Delivery) -> None:
        async with limiter:
            reports[number] = await play(case, client, server, delivery, neutral=neutral)

    async with anyio.create_task_group() as tasks:
        for number, (case, delivery) in enumerate(plays):
            tasks.start_soon(one, number, case, delivery)
    return [reports[number] for number in range(len(plays))]


async def _bounded(client: Client, url: str, request: Request) -> Outcome:
    with anyio.CancelScope(deadline=anyio.current_time() + request.timeout + GRACE) as scope:
        try:
            return await client.fetch(url, request)
        except asyncio.CancelledError:
            # Some raise one of their own, which no scope knows: it would end the case without a
            # verdict.
            if scope.cancel_called:
                return Outcome.failed(HUNG, "did not end by itself")
            if _is_cancelled():
                raise
            return Outcome.failed(None, "the client cancelled its caller")
    return Outcome.failed(HUNG, "did not end by itself")


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _wait(condition: Callable[[], bool]) -> None:
    pause = 0.0005
    with anyio.move_on_after(SETTLING):
        while not condition():  # what is waited for happens in another thread
            await anyio.sleep(pause)
            # Many that wait would else take the processor from those that they wait for.
            pause = min(2 * pause, 0.016)


async def _send_canary(client: Client, run: Run, order: int) -> tuple[str, Outcome]:
    path = run.canary_path(order)
    asked = run.case.request
    # With the same options, since they may be those of a client and not of a request.
    request = Request(
        path=path,
        timeout=CANARY_TIMEOUT,
        max_body=asked.max_body,
        max_redirects=asked.max_redirects,
    )
    return path, await _bounded(client, run.url + path, request)


def _judge(expected: Expected, outcome: Outcome) -> Sequence[str]:
    if not outcome.is_answer:
        if outcome.kind == HUNG:
            return ["hung"]
        if not expected.kinds:
            return [f"{outcome} instead of {_describe(expected)}"]
        if outcome.kind is not None and outcome.kind not in expected.kinds:
            return [f"{outcome} instead of {_describe(expected)}"]
        return []
    differences = [_differences(answer, outcome) for answer in expected.answers]
    if not differences:
        return [f"{outcome} instead of {_describe(expected)}"]
    return min(differences, key=len)


def _differences(answer: Answer, outcome: Outcome) -> list[str]:
    found = []
    if outcome.status != answer.status:
        found.append(f"status {outcome.status} instead of {answer.status}")
    if answer.body is not None and outcome.body != answer.body:
        found.append(f"body {_short(outcome.body)} instead of {_short(answer.body)}")
    for name, value in answer.headers.items():
        got = ", ".join(text for field, text in outcome.headers if field == name)
        has = any(field == name for field, _ in outcome.headers)
        if (got if has else None) != value:
            found.append(f"{name}: {got if has else None!r} instead of {value!r}")
    return found


def _judge_time(case: Case, outcome: Outcome, seconds: float) -> list[str]:
    if "timeout" in case.expected.kinds or outcome.kind == HUNG:
        return []
    if seconds >= case.request.timeout:
        return [f"took {seconds:.1f} s, where nothing was to wait for"]
    return []


async def _judge_canary(case: Case, client: Client, run: Run, outcome: Outcome) -> list[str]:
    # A case may ask for a certificate that no client trusts: then there is nothing to ask.
    if case.tls not in (None, "valid") or case.scheme is not None:
        return []
    path, answer = await _send_canary(client, run, 0)
    if not answer.is_answer:
        return [f"the next request failed: {answer}"]
    if answer.status != 200 or answer.body != path.encode():
        return [f"the next request got {answer} instead of its own answer"]
    is_reused = run.canaries.get(path) == run.case_connection
    if case.reuse is Reuse.MUST and not is_reused:
        return ["the connection was not used again"]
    if case.reuse is Reuse.MUST_NOT and is_reused:
        return ["the connection was used again"]
    return []


def _judge_traffic(case: Case, run: Run, outcome: Outcome) -> list[str]:
    problems = []
    if case.max_requests is not None and len(run.requests) > case.max_requests:
        problems.append(f"the request was sent {len(run.requests)} times")
    leaked = b"".join(run.other_requests).lower()
    problems += [f"{s!r} reached the second origin" for s in case.never_sent if s in leaked]
    if outcome.is_answer and case.hops:
        problems += _judge_hops(case.hops, run)
    return problems


def _judge_hops(hops: tuple[Hop, ...], run: Run) -> list[str]:
    problems = []
    for is_other, seen in ((False, run.requests), (True, run.other_requests)):
        wanted = [hop for hop in hops if hop.is_other is is_other]
        if len(wanted) != len(seen):
            problems.append(f"{len(seen)} requests instead of {len(wanted)}")
        for hop, request in zip(wanted, map(bytes.lower, seen), strict=False):
            if not request.startswith(hop.start):
                problems.append(f"{_short(request[:50])} instead of {hop.start!r}")
            has = [run.fill_in(s) for s in hop.has]
            problems += [f"{s!r} is missing in {hop.start!r}" for s in has if s not in request]
            problems += [f"{s!r} was sent in {hop.start!r}" for s in hop.lacks if s in request]
    return problems


def _describe(expected: Expected) -> str:
    wanted = [f"{answer.status} with {_short(answer.body or b'')}" for answer in expected.answers]
    return " or ".join([*wanted, *sorted(expected.kinds)])


def _short(content: bytes) -> str:
    if len(content) <= 60:
        return repr(content)
    return f"{content[:40]!r}… ({len(content)} bytes)"
