"""
The program of a data engineer: a long list of URLs becomes a data set, whatever kills the program.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asyncbatch.cluster import open_dataset
from asyncbatch.testing import LoopbackServer, Reply
from tests.behaviour.cluster.shards import SECONDS_TO_COME_TRUE, wait_until

PROGRAM = Path(__file__).with_name("data_engineer.py")

LEAST_RATE = 200
"""Requests in a second that a machine is good for, however busy it is."""

pytest.importorskip("pyarrow")
pytest.importorskip("polars")
pytestmark = [
    pytest.mark.extras,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="it looks for processes"),
]


def servers(count: int) -> Iterator[LoopbackServer]:
    """Run servers with so many hosts together; each tenth page is there only when asked again."""
    with LoopbackServer(hosts=min(count, 250), record=1).in_thread() as server:
        server.on("*", Reply(body="x" * 100))
        server.on("*/late", Reply(404), Reply(body="at last"))
        yield server


@pytest.fixture
def site() -> Iterator[LoopbackServer]:
    yield from servers(50)


def write_list(path: Path, sites: list[LoopbackServer], count: int, hosts: int) -> None:
    """Write the URLs of the hosts in turn, every tenth of them one that fails at first."""
    with gzip.open(path, "wt") as file:
        for n in range(count):
            server = sites[n % hosts // 250]
            suffix = "/late" if n % 10 == 3 else ""
            file.write(server.url(f"/{n}{suffix}", host=1 + n % hosts % 250) + "\n")


@contextlib.contextmanager
def started(source: Path, out: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the program in a session of its own; all of its processes are gone afterwards."""
    command = [sys.executable, str(PROGRAM), str(source), str(out)]
    program = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    with program:
        try:
            yield program
        finally:
            for pid in living(program.pid):
                kill(pid)


def living(session: int) -> list[int]:
    """Return the processes of a session that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, rest = stat.read_text().rpartition(") ")
        except OSError:
            continue
        state, _, _, own_session, *_ = rest.split()
        if int(own_session) == session and state not in "ZX":
            found.append(int(stat.parent.name))
    return found


def cut_off(
    program: subprocess.Popen[str],
    sites: list[LoopbackServer],
    after: int,
    end: Callable[[int], object],
) -> str:
    """End the program once the servers have had so many requests, and return what it said."""
    seconds = SECONDS_TO_COME_TRUE + after / LEAST_RATE
    wait_until(lambda: sum(site.statistics().requests for site in sites) >= after, seconds)
    end(program.pid)
    _, said = program.communicate()
    wait_until(lambda: living(program.pid) == [])
    wait_until(lambda: all(site.statistics().open_connections == 0 for site in sites))
    return said


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def interrupt(pid: int) -> None:
    """Press Ctrl-C: the terminal sends it to all processes of the group."""
    os.killpg(pid, signal.SIGINT)


def play(folder: Path, sites: list[LoopbackServer], count: int, hosts: int) -> None:
    """Run the program, killed twice, and judge what it has made."""
    source, out = folder / "urls.gz", folder / "out"
    write_list(source, sites, count, hosts)
    for share in (0.2, 0.5):
        with started(source, out) as program:
            cut_off(program, sites, int(share * count), kill)

    with started(source, out) as program:
        lines, said = program.communicate()

    assert program.returncode == 0, said
    first, again = ([int(n) for n in line.split()] for line in lines.splitlines()[-2:])
    assert first == [count, first[1], count - first[1]]
    assert again == [first[2], first[2], 0]
    # A page that was asked for twice, since its worker died, is there already.
    assert 0 < first[2] <= count // 10
    rows = open_dataset(out / "first").to_arrow()
    assert sorted(rows["index"].to_pylist()) == list(range(count))
    assert len(set(rows["url"].to_pylist())) == count


@pytest.mark.timeout(900)
def test_a_long_list_becomes_a_data_set(tmp_path: Path, site: LoopbackServer) -> None:
    """2,000 URLs of 50 hosts; killed twice, continued, and the failures fetched again."""
    play(tmp_path, [site], 2_000, 50)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_million_lines_become_a_data_set(tmp_path: Path) -> None:
    """1,000,000 URLs of 500 hosts, on two servers."""
    for one in servers(250):
        for other in servers(250):
            play(tmp_path, [one, other], 1_000_000, 500)


def test_ctrl_c_ends_program_and_workers(tmp_path: Path, site: LoopbackServer) -> None:
    """Nothing is left that sends."""
    source, out = tmp_path / "urls.gz", tmp_path / "out"
    write_list(source, [site], 1_500, 50)
    with started(source, out) as program:
        said = cut_off(program, [site], 300, interrupt)

    assert program.returncode in (-signal.SIGINT, 130), said
    assert said.rstrip().endswith("KeyboardInterrupt")
