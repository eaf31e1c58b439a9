"""Shards on Dask and on Ray, one of whose workers is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("on_engine.py")

MOST_SECONDS = 900
"""An engine starts in ten seconds, and in minutes on a machine that does much else."""

pytest.importorskip("pyarrow")
pytestmark = [
    pytest.mark.extras,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL"),
]


@pytest.mark.timeout(MOST_SECONDS + 60)
@pytest.mark.parametrize(("engine", "library"), [("dask", "distributed"), ("ray", "ray")])
def test_a_worker_of_an_engine_may_be_killed(tmp_path: Path, engine: str, library: str) -> None:
    """The engine runs its shard again: one row for each request, and the limits hold."""
    pytest.importorskip(library)

    done = subprocess.run(
        [sys.executable, PROGRAM, engine, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        timeout=MOST_SECONDS,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["errors"] == []
    assert max(found["tries"]) == 2
    assert found["is_whole"]
    assert found["peak"] == 2
    assert 360 <= found["requests"] < 720
