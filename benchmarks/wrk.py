"""
The limit: wrk, a load generator in C, with one thread. It checks statuses, and reads bodies.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
from typing import Any

from benchmarks.entrant import Setting, Unavailable, WrongAnswer

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def measure(setting: Setting, seconds: float) -> dict[str, Any]:
    """Run wrk for so many seconds, at least one."""
    executable = shutil.which("wrk")
    if executable is None:
        raise Unavailable("wrk is missing: apt install wrk")
    duration = max(1, round(seconds))
    command = [executable, "-t1", f"-c{setting.connections}", f"-d{duration}s", setting.first_url]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=duration + 30
    ).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    requests, wall = parse(output)
    return {
        "requests": requests,
        "wall": wall,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }


def parse(output: str) -> tuple[int, float]:
    """
    Return requests and seconds from what wrk prints.

    Raises:
        WrongAnswer: Some of the responses were no good.
    """
    if problem := re.search(r"(?m)^\s*(Non-2xx.*|Socket errors.*)$", output):
        raise WrongAnswer(f"wrk says: {problem[1]}")
    found = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m),", output)
    if found is None:
        raise WrongAnswer(f"wrk says neither how many nor how long:{os.linesep}{output}")
    return int(found[1]), float(found[2]) * _UNITS[found[3]]
