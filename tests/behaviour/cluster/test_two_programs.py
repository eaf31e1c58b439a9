"""Two programs that fetch into one folder: one of them does, and neither harms the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncbatch.testing import LoopbackServer, Reply

pytest.importorskip("pyarrow")
pytestmark = [
    pytest.mark.extras,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="its programs are forked"),
]

ROUNDS = 10
MANY_ROUNDS = 60
"""More than a program takes steps, and some minutes."""


@pytest.fixture
def site() -> Iterator[LoopbackServer]:
    """A server that answers at once."""
    with LoopbackServer(default=Reply(body=b"ok"), hosts=2).in_thread() as server:
        yield server


def play(tmp_path: Path, site: LoopbackServer, rounds: int, kind: str) -> dict[str, Any]:
    tmp_path.mkdir(exist_ok=True)
    program = [sys.executable, "-m", "tests.behaviour.cluster.two_programs"]
    hosts = [site.url("/", host=1), site.url("/", host=2)]
    done = subprocess.run(
        [*program, str(tmp_path), str(rounds), kind, *hosts],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check_rounds(tmp_path: Path, site: LoopbackServer, rounds: int) -> None:
    """Each request is sent once."""
    assert play(tmp_path, site, rounds, "both live")["rounds"] == rounds

    asked = [request.path for request in site.requests]
    assert len(asked) == len(set(asked))


def test_of_two_programs_that_begin_at_once_one_fetches(
    tmp_path: Path, site: LoopbackServer
) -> None:
    """The other is told so, or finds it done; each request is sent once, and has one row."""
    check_rounds(tmp_path, site, ROUNDS)


def test_a_program_that_is_killed_at_any_step_keeps_no_other_away(
    tmp_path: Path, site: LoopbackServer
) -> None:
    """Neither one that runs beside it nor one that comes later; no row is lost, or twice."""
    assert play(tmp_path, site, ROUNDS, "kills")["steps"] > ROUNDS


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_programs_do_not_harm_one_another(tmp_path: Path, site: LoopbackServer) -> None:
    """Many times, and one of them killed at each step."""
    check_rounds(tmp_path / "both", site, MANY_ROUNDS)
    play(tmp_path / "kills", site, MANY_ROUNDS, "kills")
