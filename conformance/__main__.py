"""The command: `python -m conformance run | table | publish`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import anyio
import attrs

from ._delivery import Delivery
from ._run import Selection, run, score_named
from ._score import Record, publish, table
from .clients import ENTRIES

LATEST = Path("build/conformance.json")
PAGE = Path("docs/contributing/conformance.md")
SUMMARY = Path("docs/reliability.md")


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = _parser().parse_args(arguments)
    if options.command == "play":
        return _play(options)
    if options.command == "run":
        return _run(options)
    record = Record.read(options.record)
    if options.command == "publish":
        publish(record, options.page, options.summary)
    else:
        print(table(record))
    return 0


def _run(options: argparse.Namespace) -> int:
    record = run(options.clients or list(ENTRIES), _selection(options), at_once=options.processes)
    record.write(options.output)
    print(table(record))
    print(f"Written to {options.output}.")
    ours = [score for score in record.scores if score.client.startswith("asyncbatch, ")]
    return 1 if any(score.failures for score in ours if "stock" not in score.client) else 0


def _play(options: argparse.Namespace) -> int:
    score = anyio.run(score_named, options.client, _selection(options))
    options.output.write_text(json.dumps(attrs.asdict(score)))
    sys.stdout.flush()
    # A client that hangs may have threads that nothing ends.
    os._exit(0)


def _selection(options: argparse.Namespace) -> Selection:
    deliveries = tuple(Delivery[name.upper()] for name in options.deliveries)
    return Selection(options.pattern, deliveries)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    whole = commands.add_parser("run", help="play the table against clients, and score them")
    whole.add_argument("--clients", nargs="+", choices=list(ENTRIES), help="all by default")
    whole.add_argument("--processes", type=int, default=2, help="clients at a time")
    whole.add_argument("--output", type=Path, default=LATEST)
    one = commands.add_parser("play", help="score one client, in this process")
    one.add_argument("client", choices=list(ENTRIES))
    one.add_argument("--output", type=Path, default=Path("score.json"))
    names = [delivery.name.lower() for delivery in Delivery]
    for command in (whole, one):
        command.add_argument("--pattern", default="", help="cases with this in their name")
        command.add_argument("--deliveries", nargs="+", choices=names, default=names)
    for name, text in (("table", "print the scores"), ("publish", "put them into the docs")):
        command = commands.add_parser(name, help=text)
        command.add_argument("record", type=Path, nargs="?", default=LATEST)
        if name == "publish":
            command.add_argument("--page", type=Path, default=PAGE)
            command.add_argument("--summary", type=Path, default=SUMMARY)
    return parser


if __name__ == "__main__":
    sys.exit(main())
