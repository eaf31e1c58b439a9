"""
What `import asyncbatch` costs, beside `import httpx`: `python -m benchmarks.imports`.

Processor time of fresh interpreters that take turns, since the machine's own speed changes. The
bytecode is written before: an installed package has it.
"""

from __future__ import annotations

import argparse
import compileall
import statistics
import subprocess
import sys

import asyncbatch

WANTED = 1.5
"""At most so many times the time of `import httpx`."""

PROGRAMS = {
    "httpx": "import httpx",
    "asyncbatch": "import asyncbatch",
    "and what sends": "from asyncbatch import Fetcher",
    "the libraries of that": "import anyio, asyncio, attrs, httpcore, httpx",
}


def seconds(program: str) -> float:
    """Return the processor time that a fresh interpreter spends on a program."""
    timed = f"import time; at = time.process_time(); {program}; print(time.process_time() - at)"
    done = subprocess.run([sys.executable, "-c", timed], check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> int:
    """Measure, and return 1 if the wanted ratio is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imports", description=__doc__)
    parser.add_argument("--rounds", type=int, default=25, metavar="N", help="25 by default")
    rounds = parser.parse_args().rounds
    compileall.compile_dir(asyncbatch.__path__[0], quiet=1)
    taken: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(rounds):
        for name, program in PROGRAMS.items():
            taken[name].append(seconds(program))
    least = {name: min(times) for name, times in taken.items()}
    median = {name: statistics.median(times) for name, times in taken.items()}
    for name in PROGRAMS:
        print(
            f"{name:22} least {least[name] * 1e3:6.1f} ms, {least[name] / least['httpx']:.2f} times"
            f"   median {median[name] * 1e3:6.1f} ms, {median[name] / median['httpx']:.2f} times"
        )
    return 0 if median["asyncbatch"] <= WANTED * median["httpx"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
