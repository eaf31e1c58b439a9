"""
Programs that begin one folder at the same moment, and die there: run by `test_two_programs.py`.

Each program is a process, forked from this one, so that many can be played. It writes to a file how
its call ended. A program that is to die kills itself at its n-th step in the folder: before it
makes, links, opens, renames or removes something there.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from asyncbatch.cluster import fetch_sharded, open_dataset

STEPS = {"open", "os.mkdir", "os.link", "os.rename", "os.remove", "os.rmdir", "os.truncate"}
LONGEST = 0.02
"""Seconds by which two programs begin apart, at most."""

COUNT = 8


class Steps:
    """
    Counts the steps of this process in a folder, and kills it before one of them.

    Args:
        out: The folder.
        last: The step before which it is killed; 0: none.
    """

    def __init__(self, out: Path, last: int) -> None:
        self.count = 0
        self._out = str(out)
        self._last = last
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in STEPS and self._out in str(arguments):
            self.count += 1
            if self.count == self._last:
                os.kill(os.getpid(), signal.SIGKILL)


def begin(out: Path, urls: list[str], said: Path, dies_at: int = 0) -> int:
    """Start a program, and return its process."""
    delay = random.uniform(0, LONGEST)
    if process := os.fork():
        return process
    try:
        time.sleep(delay)
        steps = Steps(out, dies_at)
        try:
            with ThreadPoolExecutor(2) as executor:
                reports = list(fetch_sharded(iter(urls), out, executor=executor, shards=2))
            text = [each.error for each in reports]
        except (ValueError, RuntimeError, OSError) as error:
            text = [f"{type(error).__name__}: {error}", traceback.format_exc()]
        said.write_text(json.dumps([steps.count, *text]))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def ended(process: int) -> bool:
    """Wait for a process; return whether it was not killed."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) >= 0


def said_in(path: Path) -> list[Any]:
    """Return what the program said, and forget it."""
    found: list[Any] = json.loads(path.read_text()) if path.exists() else [0, "it was killed"]
    path.unlink(missing_ok=True)
    return found[1:]


def steps_of(folder: Path, urls: list[str]) -> int:
    """Return how many steps a program takes that is alone."""
    ended(begin(folder / "alone", urls, folder / "first"))
    count: int = json.loads((folder / "first").read_text())[0]
    return count


def check(out: Path, urls: list[str], *said: Any) -> None:
    """Each request has one row with its answer, and nothing else is in the folder."""
    dataset = open_dataset(out)
    rows = sorted(dataset.to_arrow().to_pylist(), key=lambda row: row["index"])
    assert [row["url"] for row in rows] == urls, said
    assert [row["ok"] for row in rows] == [True] * len(urls), said
    names = {path.name for path in out.rglob("*") if path.suffix != ".parquet"}
    assert names == {"plan.json", "shards"}, (names, said)


def main(folder: Path, hosts: list[str], rounds: int, kills: bool) -> None:
    """Play the rounds; with `kills`, the first program dies at a later step in each of them."""
    steps = steps_of(folder, [f"{host}alone" for host in hosts]) if kills else 0
    for turn in range(rounds):
        dies_at = 1 + int((turn + random.random()) * steps / rounds) if kills else 0
        out = folder / f"out{turn}"
        urls = [f"{hosts[n % 2]}{turn}/{n}" for n in range(COUNT)]
        first, second, third = (folder / name for name in ("first", "second", "third"))
        processes = [begin(out, urls, first, dies_at), begin(out, urls, second)]
        lived = [ended(process) for process in processes]
        said = [said_in(first), said_in(second)]
        whole = [each == [None, None] for each in said]
        for each, is_whole, is_alive in zip(said, whole, lived, strict=True):
            told = "fetches into" in str(each[0])
            assert is_whole or told or not is_alive, (turn, dies_at, said)
        assert kills or any(whole), (turn, said)
        # What was killed or refused blocks no other.
        ended(begin(out, urls, third))
        last = said_in(third)
        assert last == [None, None], (turn, dies_at, said, last)
        check(out, urls, turn, dies_at, said)
        shutil.rmtree(out)
    print(json.dumps({"rounds": rounds, "steps": steps}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[4:], int(sys.argv[2]), sys.argv[3] == "kills")
