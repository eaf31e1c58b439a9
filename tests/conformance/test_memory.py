"""Bombs, by the memory that they take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.swallowing import CAP, CODINGS, MIB, SIZE

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]

# What a decoder needs for itself, and the pieces under way: brotli looks back 16 MiB.
CONSTANT = 20 * MIB


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="counted as Linux does")
@pytest.mark.parametrize("lane", ["direct", "client"])
def test_no_bomb_takes_more_memory_than_its_limit_and_a_constant(lane: str) -> None:
    """In every coding, framing and place, and stacked: 96 MiB under a limit of 4."""
    assert SIZE >= 4 * (CAP + CONSTANT)
    command = [sys.executable, "-m", "tests.conformance.swallowing", lane]
    # The body of a bomb comes and goes: what the allocator keeps of it is not the library's.
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}

    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    assert ended.returncode == 0, ended.stderr
    growth = json.loads(ended.stdout)
    assert len(growth) == 5 * len(CODINGS) + 1
    assert {name: size for name, size in growth.items() if size > CAP + CONSTANT} == {}
