"""The command: `python -m soak`; it exits with 1 if anything grows, is lost or goes wrong."""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import attrs

from soak.gauges import Sample, Sampler, grown, table, verdicts
from soak.rounds import Rounds, Tally
from soak.traffic import Traffic

WARM_UP_ROUNDS = 3
"""Until every cache has what it holds: they are not measured."""


def main() -> int:
    """Run for as long as was asked for, and return the exit status."""
    options = _parser().parse_args()
    seconds = 3600 * options.hours if options.hours else 60 * options.minutes
    if not sys.platform.startswith("linux"):
        print("the soak test needs /proc and all of 127.0.0.0/8: Linux", file=sys.stderr)
        return 2
    with _server() as port:
        samples, tally = anyio.run(
            _run, port, seconds, options.size, backend_options={"use_uvloop": options.uvloop}
        )
    if options.output is not None:
        options.output.write_text(json.dumps([attrs.asdict(s) for s in samples], indent=1) + "\n")
    return _report(samples, tally)


async def _run(port: int, seconds: float, size: int) -> tuple[list[Sample], Tally]:
    samples: list[Sample] = []
    async with Rounds(Traffic(port), size) as rounds:
        tally = rounds.tally
        for _ in range(WARM_UP_ROUNDS):
            await rounds.go()
            if tally.wrong:
                return samples, tally
        sampler = Sampler()
        sampler.take(tally.requests, tally.seconds)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            tally.seconds.clear()
            await rounds.go()
            samples.append(sampler.take(tally.requests, tally.seconds))
            _show(samples[-1])
    return samples, tally


def _show(sample: Sample) -> None:
    print(
        f"{sample.at:7.0f} s {sample.requests:12,} requests {sample.memory:8.1f} MiB "
        f"{sample.descriptors:4} fds  p50 {sample.median:.1f} ms  {sample.cost:.0f} µs",
        flush=True,
    )


def _report(samples: list[Sample], tally: Tally) -> int:
    if len(samples) < 4 and not tally.wrong:
        print("fewer than four rounds: too short to tell", file=sys.stderr)
        return 2
    if samples:
        print(f"\n{table(samples)}\n\n{verdicts(samples)}\n")
    for outcome, count in sorted(tally.kinds.items()):
        print(f"{count:12,}  {outcome}")
    for wrong in tally.wrong[:20]:
        print(f"WRONG: {wrong}", file=sys.stderr)
    for name in (growing := grown(samples)):
        print(f"GROWS: {name}", file=sys.stderr)
    print(f"\n{tally.requests:,} requests, {len(tally.wrong)} wrong, {len(growing)} gauges grow")
    return 1 if tally.wrong or growing else 0


@contextlib.contextmanager
def _server() -> Iterator[int]:
    command = [sys.executable, "-m", "soak.server"]
    with subprocess.Popen(  # our own
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.stdin.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="how long; 3 by default")
    parser.add_argument("--hours", type=float, help="how long, in hours")
    parser.add_argument("--size", type=int, default=4_000, help="of a round's largest batch")
    parser.add_argument("--uvloop", action="store_true", help="on uvloop")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the samples as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
