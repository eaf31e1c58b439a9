"""
A program under load is killed at random moments, and run again until it ends by itself.

The log of the server is compared with what the program delivered. Whenever it is killed: nothing is
lost, nothing is delivered in two ways, no POST is answered twice, and every count is right.
"""

from __future__ import annotations

import collections
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncbatch import Journal
from asyncbatch.testing import LoopbackServer, RecordedRequest, Reply
from tests.behaviour.journal.killed import requests_of

PROGRAM = Path(__file__).with_name("killed.py")
ROOT = Path(__file__).parents[3]
COUNT = 300

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL"),
]


class Answers:
    """Answers each request with a number of its own, and counts the requests by what they are."""

    def __init__(self) -> None:
        self.seen: collections.Counter[tuple[str, str, bytes]] = collections.Counter()
        self.kill_after = -1
        """The number of requests at which `victim` is killed."""
        self.victim: subprocess.Popen[bytes] | None = None
        self._number = 0
        self._guard = threading.Lock()

    def __call__(self, request: RecordedRequest) -> Reply:
        with self._guard:
            self._number += 1
            self.seen[request.method, request.target, request.body] += 1
            number = self._number
        if number == self.kill_after and self.victim is not None:
            self.victim.kill()
        return Reply(body=f"{number}").delayed(0.001, jitter=0.004)


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def url(answers: Answers) -> Iterator[str]:
    """Run a server in a thread of its own."""
    with LoopbackServer(record=1).in_thread() as server:
        server.on("*", answers)
        yield server.url("/")


def run(
    url: str,
    journal: Path,
    kind: str,
    *,
    lines: int | None = None,
    number: int = signal.SIGKILL if sys.platform != "win32" else 0,
    backend: str = "asyncio",
    answers: Answers | None = None,
) -> list[list[Any]]:
    """
    Run the program, kill it after some lines, and return what it delivered.

    Args:
        url: That of the server.
        journal: The path of the journal.
        kind: How it fetches.
        lines: After how many lines it is killed; `None`: never.
        number: The signal that kills it.
        backend: Its event loop.
        answers: Kills it at a number of requests.
    """
    command = [sys.executable, str(PROGRAM), url, str(journal), str(COUNT), kind, backend]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    delivered = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.stdout is not None
        if answers is not None:
            answers.victim = process
        try:
            for line in process.stdout:
                delivered.append(json.loads(line))
                if len(delivered) % 50 == 0:
                    # What was delivered can be read at once, in another process.
                    with Journal.read(journal) as reader:
                        assert sum(reader.counts().values()) >= len(delivered)
                if len(delivered) == lines:
                    process.send_signal(number)
                    lines = None
        finally:
            process.kill() if sys.exc_info()[0] else None
    return delivered


def expected(method: str) -> collections.Counter[tuple[str, str, bytes]]:
    """Return how often the server is to see each request of a method."""
    requests = [each for each in requests_of("/", COUNT) if each.method == method]
    return collections.Counter(
        (each.method, str(each.url), each.content or b"")  # type: ignore[misc]
        for each in requests
    )


def judge(runs: list[list[list[Any]]], answers: Answers, journal: Path) -> None:
    """Compare what the runs delivered, the last one to its end, with what the server saw."""
    *cut, last = runs
    assert sorted(number for number, *_ in last) == list(range(COUNT))
    final = {number: (kind, text) for number, _, kind, _, text in last}
    by_request = collections.defaultdict(set)
    for number, (_, text) in final.items():
        by_request[_named(number)].add(text)
    for each in runs:
        assert len({number for number, *_ in each}) == len(each)
        for number, method, kind, _, text in each:
            # Equal requests are matched in any order.
            if kind == "ok":
                assert text in by_request[_named(number)]
            else:
                assert (method, kind) == ("POST", "in_doubt")
    for each in cut:
        # What was delivered once is served from then on.
        done = {text for *_, text in each if text}
        assert done <= {text for *_, text in last}
    posts = {key: count for key, count in answers.seen.items() if key[0] == "POST"}
    assert all(count <= expected("POST")[key] for key, count in posts.items())
    texts = [text for kind, text in final.values() if kind == "ok"]
    assert len(set(texts)) == len(texts)
    counts = collections.Counter(kind for kind, _ in final.values())
    with Journal.read(journal) as reader:
        assert reader.counts() == {"ok": 0, **counts}
    # Each request in doubt is a POST that the server may have seen, and of the others it saw all.
    doubts = counts["in_doubt"]
    assert sum(expected("POST").values()) - doubts <= sum(posts.values())
    gets = {key: count for key, count in answers.seen.items() if key[0] == "GET"}
    assert all(gets[key] >= count for key, count in expected("GET").items())


def _named(number: int) -> str:
    request = requests_of("/", COUNT)[number]
    return f"{request.method} {request.url} {request.content!r}"


@pytest.mark.parametrize(
    ("kind", "backend"),
    [("stream", "asyncio"), ("ordered", "asyncio"), ("all", "asyncio"), ("stream", "trio")],
)
def test_a_program_that_is_killed_goes_on_where_it_was(
    url: str, answers: Answers, tmp_path: Path, kind: str, backend: str
) -> None:
    """By kill -9, after some of its results were delivered; `fetch_many` delivers all or none."""
    journal = tmp_path / "run.db"
    moments = [1] if kind == "all" else [40, 170, 290]

    cut = [run(url, journal, kind, lines=each, backend=backend) for each in moments]
    last = run(url, journal, kind, backend=backend)

    judge([*cut, last], answers, journal)
    delivered = {text for each in cut for *_, text in each}
    assert len([1 for *_, from_journal, _ in last if from_journal]) >= len(delivered)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_program_that_is_told_to_end_goes_on_too(
    url: str, answers: Answers, tmp_path: Path, number: int
) -> None:
    """By SIGTERM, which kills it, and by Ctrl-C, which cancels its requests."""
    journal = tmp_path / "run.db"

    cut = run(url, journal, "stream", lines=100, number=number)
    last = run(url, journal, "stream")

    judge([cut, last], answers, journal)


def test_a_program_that_is_killed_before_it_delivers_goes_on_too(
    url: str, answers: Answers, tmp_path: Path
) -> None:
    """What `fetch_many` had fetched is in the journal, though it delivers all at the end."""
    journal = tmp_path / "run.db"

    answers.kill_after = 150
    cut = run(url, journal, "all", answers=answers)
    last = run(url, journal, "all")

    judge([cut, last], answers, journal)
    assert cut == []
    assert sum(from_journal for *_, from_journal, _ in last) > 100


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_300_kills_at_random_moments(url: str, answers: Answers, tmp_path: Path) -> None:
    """`CRASH_KILLS` and `CRASH_SEED` set how many there are, and repeat a run."""
    kills, seed = int(os.environ.get("CRASH_KILLS", "300")), int(os.environ.get("CRASH_SEED", "1"))
    dice = random.Random(seed)
    done = round_ = doubts = 0
    while done < kills:
        round_ += 1
        answers.seen.clear()
        journal = tmp_path / f"{round_}.db"
        runs: list[list[list[Any]]] = []
        kind = dice.choice(["stream", "stream", "ordered"])
        while not runs or len(runs[-1]) < COUNT:
            left = dice.random() < 0.1
            lines = None if left or done >= kills else dice.randrange(1, COUNT)
            number = dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
            runs.append(run(url, journal, kind, lines=lines, number=number))
            done += lines is not None
        judge(runs, answers, journal)
        doubts += sum(each[2] == "in_doubt" for each in runs[-1])
        print(f"round {round_}: {len(runs)} runs; {done} kills, {doubts} requests in doubt")
