"""
The record of a run: what was measured, on what kind of machine, with which versions.

It says nothing about whose machine it was: no host name, no path.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmarks.origin import find_nginx
from benchmarks.workloads import Entrant


@dataclass
class Measurement:
    """One client with one workload in one round."""

    workload: str
    client: str
    loop: str
    round: int
    figures: dict[str, Any]

    @property
    def entrant(self) -> Entrant:
        """Return who was measured."""
        return Entrant(self.client, self.loop)  # type: ignore[arg-type]  # from the record

    @property
    def wall_per_request(self) -> float:
        """Return seconds of wall clock per request."""
        seconds: float = self.figures["wall"] / self.figures["requests"]
        return seconds

    @property
    def cpu_per_request(self) -> float:
        """Return seconds of CPU per request."""
        seconds: float = self.figures["cpu"] / self.figures["requests"]
        return seconds


@dataclass
class Record:
    """Everything that one run has found out."""

    mode: str
    date: str
    machine: dict[str, Any]
    versions: dict[str, str]
    missing: dict[str, str] = field(default_factory=dict)
    """What could not be measured, and why."""
    measurements: list[Measurement] = field(default_factory=list)
    layers: dict[str, list[float]] = field(default_factory=dict)
    """Seconds per operation."""

    @classmethod
    def begin(cls, mode: str, versions: dict[str, str], *, pinned: bool) -> Self:
        """Return the record of a run that begins now."""
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        return cls(mode, today, machine(pinned=pinned), versions)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record."""
        values = json.loads(path.read_text())
        values["measurements"] = [Measurement(**each) for each in values["measurements"]]
        return cls(**values)

    def write(self, path: Path) -> None:
        """Write the record, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".part")
        draft.write_text(json.dumps(asdict(self), indent=1) + "\n")
        draft.replace(path)

    def of(self, workload: str, entrant: Entrant | None = None) -> list[Measurement]:
        """Return the measurements of a workload, or of one entrant in it, by rounds."""
        found = [
            each
            for each in self.measurements
            if each.workload == workload and entrant in (None, each.entrant)
        ]
        return sorted(found, key=lambda each: each.round)


def machine(*, pinned: bool) -> dict[str, Any]:
    """Return what kind of machine this is."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "client and server on cores of their own": pinned,
    }


def tool_versions() -> dict[str, str]:
    """Return the versions of nginx, wrk and OpenSSL, where they are installed."""
    tools: dict[str, Callable[[], list[str]]] = {
        "nginx": lambda: [find_nginx() or "nginx", "-v"],
        "wrk": lambda: ["wrk", "-v"],
        "openssl": lambda: ["openssl", "version"],
    }
    found = {name: _first_line(command()) for name, command in tools.items()}
    return {name: line for name, line in found.items() if line}


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=10,
            stdin=subprocess.DEVNULL,
        )
    except OSError:
        return ""
    # "nginx version: nginx/1.22.1", "wrk debian/4.1.0-3+b2 [epoll] Copyright ...",
    # "OpenSSL 3.0.19 27 Jan 2026 (...)".
    words = (done.stdout + done.stderr).split("\n", 1)[0].split()
    versions = (word.rpartition("/")[2] for word in words if "/" in word or word[0].isdigit())
    return next(versions, "")


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
