"""The command: `python -m benchmarks run | compare | table | publish`."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import NoReturn

from benchmarks import report
from benchmarks.figures import verdicts
from benchmarks.origin import ServerFailed
from benchmarks.record import Record
from benchmarks.rounds import FAILED, Plan, Run
from benchmarks.workloads import BY_NAME, WORKLOADS, Workload

_LATEST = Path("build/bench.json")
_CLIENTS = sorted({"layers", *(each.client for every in WORKLOADS for each in every.entrants)})


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    signal.signal(signal.SIGTERM, _end)
    options = _parser().parse_args(arguments)
    if options.command == "run":
        return _run(options)
    record = Record.read(options.record)
    if options.command == "publish":
        report.publish(record, Path())
        return 0
    print(report.targets(record) if options.command == "compare" else report.tables(record))
    failed = any(each.word == "NOT REACHED" for each in verdicts(record))
    return 1 if options.command == "compare" and failed else 0


def _run(options: argparse.Namespace) -> int:
    run = Run(_plan(options))
    record = run.record
    try:
        run.go()
    except ServerFailed as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 2
    finally:
        # Also what was measured until somebody interrupted.
        if record.measurements:
            record.write(options.output)
    print(report.tables(record))
    print(report.targets(record))
    print(f"Written to {options.output}.")
    if options.publish:
        report.publish(record, Path())
    return 1 if any(reason.startswith(FAILED) for reason in record.missing.values()) else 0


def _plan(options: argparse.Namespace) -> Plan:
    quick = options.quick
    return Plan(
        mode="quick" if quick else "full",
        rounds=options.rounds or (2 if quick else 5),
        seconds=options.seconds or (0.3 if quick else 1.0),
        workloads=_chosen(options),
        clients=frozenset(options.clients) if options.clients else None,
        pin=options.pin,
    )


def _chosen(options: argparse.Namespace) -> tuple[Workload, ...]:
    if options.workloads:
        return tuple(BY_NAME[name] for name in options.workloads)
    return tuple(
        workload
        for workload in WORKLOADS
        if (options.million if workload.on_demand else workload.in_quick or not options.quick)
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure, and say what was reached")
    run.add_argument("--quick", action="store_true", help="a minute instead of half an hour")
    run.add_argument(
        "--publish", action="store_true", help="make the pages in docs/ of it, as `publish` does"
    )
    run.add_argument("--million", action="store_true", help="stream 1,000,000 requests too")
    run.add_argument("--workloads", nargs="+", metavar="NAME", choices=list(BY_NAME))
    run.add_argument(
        "--clients",
        nargs="+",
        metavar="NAME",
        choices=_CLIENTS,
        help="these alone; `layers` stands for the layers",
    )
    run.add_argument("--rounds", type=int, metavar="N")
    run.add_argument("--seconds", type=float, metavar="S", help="for one measurement")
    run.add_argument(
        "--no-pin", dest="pin", action="store_false", help="let client and server share all cores"
    )
    run.add_argument("--output", type=Path, default=_LATEST, metavar="FILE")
    for name, words in (
        ("compare", "say which targets a record reaches; status 1 if it misses one"),
        ("table", "print what was measured"),
        ("publish", "make the pages in docs/ from a record, and keep it"),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("record", type=Path, nargs="?", default=_LATEST, metavar="FILE")
    return parser


def _end(*_: object) -> NoReturn:
    # As Ctrl-C does, so that every server that was started is stopped.
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(main())
