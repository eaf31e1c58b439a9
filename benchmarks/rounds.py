"""
The run: servers up, then every workload in rounds (A B C, C B A, …), one process a measurement.

Whatever drifts on a machine drifts slowly; so ratios are taken within a round, and their spread is
what the rounds differ by. The order turns with each round, so that nobody always comes first after
another workload.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from benchmarks.clients import PEERS
from benchmarks.origin import ServerFailed, running_nginx, running_slow_server, running_squid
from benchmarks.record import Measurement, Record, tool_versions
from benchmarks.worker import Job, Servers
from benchmarks.workloads import Entrant, Workload

# What a worker takes beyond the seconds that it measures: a million requests of the slowest client.
_WAIT_SECONDS = 180.0
FAILED = "failed"
"""How the reason begins where a client was there and did not do its work."""
# Workloads with a ratio that is near its target.
_CLOSE = ("headline", "client lane", "client lane on our transport", "SDK calls")
_LIBRARIES = ("asyncbatch", "uvloop", "httptools", "anyio", "attrs", "httpcore", "openai")


@dataclass(frozen=True)
class Plan:
    """How much is to be measured."""

    mode: str
    rounds: int
    seconds: float
    """For one measurement."""
    workloads: tuple[Workload, ...]
    clients: frozenset[str] | None = None
    """Only these; None: all."""
    pin: bool = True

    def rounds_of(self, workload: Workload) -> int:
        """Return how often a workload is gone through; what is asserted closely, more often."""
        is_close = workload.name in _CLOSE
        return self.rounds if is_close else -(-self.rounds // 2)

    def entrants(self, workload: Workload) -> list[Entrant]:
        """Return who takes part in a workload."""
        return [
            entrant
            for entrant in workload.entrants
            if self.clients is None or entrant.client in self.clients
        ]


class Run:
    """One run of the suite, which fills a record."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        pinned = plan.pin and len(cores) > 1
        self._client_core = cores[0] if pinned else None
        # This process, which only waits, and the servers that it starts.
        self._server_cores = set(cores[1:2]) if pinned else None
        self.record = Record.begin(plan.mode, versions(), pinned=pinned)
        self.record.missing.update(absent_peers())
        # Who has failed: it is not asked again, and named as missing.
        self._out: set[tuple[str, Entrant]] = set()

    def go(self) -> None:
        """Measure everything in the plan."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._on_server_core())
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="asyncbatch-")))
            ports = stack.enter_context(running_nginx(folder))
            slow_ports = stack.enter_context(running_slow_server(folder))
            proxy = self._start_squid(stack)
            for workload in self._plan.workloads:
                if workload.way == "proxy" and proxy is None:
                    continue
                servers = Servers(
                    ports.origin_for(workload),
                    ports.plain,
                    slow_ports[workload.tls],
                    str(folder / "ca.pem"),
                    proxy,
                )
                self._measure(workload, servers)
            self._measure_layers()

    def _start_squid(self, stack: contextlib.ExitStack) -> str | None:
        """Return the URL of a proxy, if a workload goes through one; what is missing is named."""
        if not any(workload.way == "proxy" for workload in self._plan.workloads):
            return None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="asyncbatch-")))
        try:
            port = stack.enter_context(running_squid(folder))
        except ServerFailed as error:
            self.record.missing["squid"] = str(error)
            return None
        return f"http://127.0.0.1:{port}"

    def _measure(self, workload: Workload, servers: Servers) -> None:
        for number in range(self._plan.rounds_of(workload)):
            entrants = self._plan.entrants(workload)
            for entrant in entrants if number % 2 == 0 else entrants[::-1]:
                if (workload.name, entrant) in self._out:
                    continue
                if entrant.client in self.record.missing:
                    continue
                job = Job(
                    workload=workload.name,
                    client=entrant.client,
                    loop=entrant.loop,
                    seconds=self._plan.seconds,
                    core=self._client_core,
                    servers=servers,
                )
                self._note(workload, entrant, number, work(job))

    def _note(
        self, workload: Workload, entrant: Entrant, number: int, figures: dict[str, Any]
    ) -> None:
        if reason := figures.get("unavailable"):
            self._out.add((workload.name, entrant))
            self.record.missing[f"{entrant} in {workload.name!r}"] = reason
            say(f"{workload.name:22} {entrant!s:34} not measured: {reason}")
            return
        measurement = Measurement(workload.name, *entrant, number + 1, figures)
        self.record.measurements.append(measurement)
        say(
            f"{workload.name:22} {entrant!s:34} round {number + 1}"
            f" {measurement.wall_per_request * 1e6:10.1f} µs"
        )

    def _measure_layers(self) -> None:
        if self._plan.clients is not None and "layers" not in self._plan.clients:
            return
        job = Job(
            workload="headline",
            client="layers",
            loop="asyncio",
            seconds=self._plan.seconds,
            core=self._client_core,
            servers=Servers("", 0, 0, ""),
        )
        figures = work(job)
        if reason := figures.get("unavailable"):
            self.record.missing["layers"] = reason
            say(f"layers: not measured: {reason}")
        self.record.layers = figures.get("layers", {})

    @contextlib.contextmanager
    def _on_server_core(self) -> Iterator[None]:
        if self._server_cores is None:
            yield
            return
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self._server_cores)
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)


def work(job: Job) -> dict[str, Any]:
    """Have a worker do the job, and return its figures; a worker that fails is unavailable."""
    command = [sys.executable, "-m", "benchmarks.worker", json.dumps(asdict(job))]
    environment = {
        name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
    }
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=_WAIT_SECONDS + 10 * job.seconds,
        )
    except subprocess.TimeoutExpired as error:
        return {"unavailable": f"{FAILED}: not done after {error.timeout:.0f} s"}
    if done.returncode:
        reason = _last_line(done.stderr) or f"exit status {done.returncode}"
        return {"unavailable": f"{FAILED}: {reason}"}
    return cast("dict[str, Any]", json.loads(done.stdout.splitlines()[-1]))


def versions() -> dict[str, str]:
    """Return the versions of everything that is installed and takes part."""
    found = tool_versions()
    for name in (*_LIBRARIES, *PEERS):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return dict(sorted(found.items()))


def absent_peers() -> dict[str, str]:
    """Return the peers that are not installed, with the reason."""
    present = versions()
    return {name: "not installed" for name in PEERS if name not in present}


def say(*lines: Iterable[str]) -> None:
    """Tell on stderr how far the run has come."""
    print(*lines, file=sys.stderr, flush=True)


def _last_line(text: str) -> str:
    # Of an exception group, the line that names a group says nothing; the innermost error does.
    lines = [line.strip(" |+-") for line in text.splitlines()]
    return next((line for line in reversed(lines) if ":" in line or line.isidentifier()), "")
