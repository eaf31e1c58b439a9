"""
Running the table against clients, each in a process of its own.

A process each, so that a client that hangs for good, or takes the interpreter with it, costs no
more than its own score.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import attrs

from ._case import Case
from ._delivery import Delivery
from ._play import Client, Report, applies, play, play_all
from ._score import FAILED, NOT_APPLICABLE, PASSED, Record, Score
from ._server import ScriptedServer
from .cases import GROUPS
from .clients import find_client

Opener: TypeAlias = Callable[[], AbstractAsyncContextManager[Client]]

AT_A_TIME = 12
AGAIN_AT_A_TIME = 6
"""For what has failed: a client that is busy with other cases is not to blame for being slow."""

LATE_AT_A_TIME = 2
"""For what has taken too long then, too, since the machine may be busy."""

SECONDS = 1800.0
"""For one client."""


@attrs.frozen
class Selection:
    """Which cases are played, and how."""

    pattern: str = ""
    """Part of the name."""
    deliveries: tuple[Delivery, ...] = tuple(Delivery)

    def groups(self) -> dict[str, list[Case]]:
        """Return the cases by their subject, without subjects that have none."""
        chosen = {
            group: [case for case in cases if self.pattern in case.name]
            for group, cases in GROUPS.items()
        }
        return {group: cases for group, cases in chosen.items() if cases}

    def plays(self, cases: Iterable[Case]) -> list[tuple[Case, Delivery]]:
        """Return each case with each delivery that differs for it."""
        return [
            (case, delivery)
            for case in cases
            for delivery in case.deliveries
            if delivery in self.deliveries
        ]


async def score(open_client: Opener, server: ScriptedServer, selection: Selection) -> Score:
    """Play the cases that apply to a client; what fails gets a second chance by itself."""
    groups = selection.groups()
    async with open_client() as client:
        applicable = [case for cases in groups.values() for case in cases if applies(case, client)]
        plays = selection.plays(applicable)
        reports = await play_all(plays, client, server, at_a_time=AT_A_TIME, neutral=True)
        failures = await _failing_again(open_client, server, reports)
        name = client.name
    names = {case.name for case in applicable}
    counts = {
        group: Counter(
            NOT_APPLICABLE if c.name not in names else FAILED if c.name in failures else PASSED
            for c in cases
        )
        for group, cases in groups.items()
    }
    return Score(name, counts, failures)


async def _failing_again(
    open_client: Opener, server: ScriptedServer, reports: list[Report]
) -> dict[str, str]:
    """Play what failed again, what was late twice, and say what is wrong with the rest."""
    failing = await _played_again(open_client, server, reports, AGAIN_AT_A_TIME)
    late = {name for name, report in failing.items() if report.is_late}
    again = [report for report in reports if report.case.name in late]
    failing = {name: report for name, report in failing.items() if name not in late} | (
        await _played_again(open_client, server, again, LATE_AT_A_TIME)
    )
    names = dict.fromkeys(report.case.name for report in reports)
    return {
        name: f"{failing[name].delivery.value}: {'; '.join(failing[name].problems)}"
        for name in names
        if name in failing
    }


async def _played_again(
    open_client: Opener, server: ScriptedServer, reports: list[Report], at_a_time: int
) -> dict[str, Report]:
    """Play what failed again, each with a client of its own, and return what fails still."""
    left: dict[str, list[Report]] = {}
    for report in reports:
        if report.problems:
            left.setdefault(report.case.name, []).append(report)
    failing: dict[str, Report] = {}
    limiter = anyio.CapacityLimiter(at_a_time)

    async def play_again(wrong: list[Report]) -> None:
        async with limiter:
            for report in wrong:
                # Cookies of another case, or a connection that one has broken, are not its fault.
                async with open_client() as client:
                    again = await play(report.case, client, server, report.delivery, neutral=True)
                if again.problems:
                    failing[report.case.name] = again
                    return

    async with anyio.create_task_group() as tasks:
        for wrong in left.values():
            tasks.start_soon(play_again, wrong)
    return failing


async def score_named(name: str, selection: Selection) -> Score:
    """Open the client called `name`, and score it."""
    with ScriptedServer() as server:
        return await score(partial(find_client(name), server.trust), server, selection)


def run(
    names: Iterable[str], selection: Selection, *, at_once: int = 2, log: Any = sys.stderr
) -> Record:
    """Score each client in a process of its own, so many at once."""
    scores, missing = [], {}

    def score_one(name: str) -> tuple[str, Score | str]:
        result = _in_process(name, selection)
        print(f"{name}: {'scored' if isinstance(result, Score) else result}", file=log, flush=True)
        return name, result

    with ThreadPoolExecutor(at_once) as threads:
        results = list(threads.map(score_one, names))
    for name, result in results:
        if isinstance(result, Score):
            scores.append(result)
        else:
            missing[name] = result
    return Record(
        date=datetime.now(UTC).date().isoformat(),
        python=platform.python_version(),
        cases=sum(map(len, selection.groups().values())),
        deliveries=tuple(delivery.value for delivery in selection.deliveries),
        scores=tuple(scores),
        missing=missing,
    )


def _in_process(name: str, selection: Selection) -> Score | str:
    """Return the score, or why there is none."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "score.json")
        command = [sys.executable, "-m", "conformance", "play", name, "--output", str(output)]
        command += ["--pattern", selection.pattern, "--deliveries"]
        command += [delivery.name.lower() for delivery in selection.deliveries]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return f"did not end within {SECONDS:.0f} s"
        if not output.exists():
            lines = ended.stderr.strip().splitlines() or [f"ended with {ended.returncode}"]
            return lines[-1][:200]
        return Score(**json.loads(output.read_text()))
