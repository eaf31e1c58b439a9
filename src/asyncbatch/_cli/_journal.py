"""
The command `asyncbatch journal`: shows, exports and retries what is in a journal.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Sequence
from typing import Any

import anyio

from asyncbatch import Fetcher, Journal, JournalReader, Result
from asyncbatch._cli._lines import json_line, plain_line
from asyncbatch._cli._writer import TextOutput

OK, FAILED, USAGE = 0, 1, 2


def journal_main(argv: Sequence[str], prog: str) -> int:
    """
    Run the command and return its exit code.

    Args:
        argv: The arguments after `journal`.
        prog: The name of the command.

    Raises:
        SystemExit: If the arguments are invalid, or ask for help.
        BrokenPipeError: If stdout is a pipe that was closed.
    """
    arguments = _parser(f"{prog} journal").parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        _say(sys.stderr, f"{prog}: {error}\n")
        return USAGE
    return code


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description="Look into a journal, or go on with it."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = commands.add_parser("show", help="print how many results there are, and the failures")
    show.set_defaults(run=_show)
    export = commands.add_parser("export", help="print a JSON object for each result")
    export.add_argument(
        "--bodies",
        action="store_true",
        help='with "content", or "content_base64" for a body that is not UTF-8',
    )
    export.set_defaults(run=_export)
    retry = commands.add_parser(
        "retry", help="send again what failed and may pass, as far as the journal knows the request"
    )
    retry.add_argument("--all", action="store_true", help="also failures that last")
    retry.set_defaults(run=_retry)
    for command in (show, export, retry):
        command.add_argument("path", metavar="PATH", help="the journal")
    return parser


def _show(arguments: argparse.Namespace) -> int:
    with Journal.read(arguments.path) as journal:
        counts = journal.counts()
        total = sum(counts.values())
        _say(sys.stdout, f"{total:,} {'result' if total == 1 else 'results'}\n")
        for kind, count in counts.items():
            _say(sys.stdout, f"  {kind:<15} {count:>10,}\n")
        for failure in journal.failures():
            _say(sys.stdout, plain_line(failure))
    return OK


def _export(arguments: argparse.Namespace) -> int:
    with Journal.read(arguments.path) as journal:
        for result in journal:
            record: dict[str, Any] = json.loads(json_line(result))
            record["method"] = result.request.method
            if arguments.bodies:
                record |= _content(result.content)
            _say(sys.stdout, json.dumps(record) + "\n")
    return OK


def _content(content: bytes) -> dict[str, str]:
    try:
        return {"content": content.decode()}
    except UnicodeDecodeError:
        return {"content_base64": base64.b64encode(content).decode("ascii")}


def _retry(arguments: argparse.Namespace) -> int:
    with Journal.read(arguments.path) as journal:
        options, urls, left = _to_send(journal)
    for failure in left:
        _say(sys.stderr, f"left: {failure.request.method} {plain_line(failure)}")
    if left:
        _say(
            sys.stderr,
            f"{len(left):,} of the failures are not sent: their headers, bodies and secrets, and "
            "where their files go, are not in the journal; run their program again\n",
        )
    if not urls:
        return FAILED if left else OK
    kept = Journal(arguments.path, retry="all" if arguments.all else "transient")
    failed = anyio.run(_send, urls, kept, options)
    return FAILED if left or failed else OK


def _to_send(journal: JournalReader) -> tuple[dict[str, Any], list[str], list[Result]]:
    """Return the options of the last run, the URLs that can be sent, and what cannot."""
    urls: list[str] = []
    left: list[Result] = []
    is_any_failed = False
    for entry in journal.entries():
        result = entry.result
        if entry.is_plain:
            # Those that were fetched too: equal requests are told apart by their number.
            urls.append(str(result.request.url))
            is_any_failed = is_any_failed or not result.ok
        elif not result.ok:
            left.append(result)
    given = ("follow_redirects", "max_redirects", "max_body")
    options = {name: value for name, value in journal.options().items() if name in given}
    return options, urls if is_any_failed else [], left


async def _send(urls: list[str], journal: Journal, options: dict[str, Any]) -> int:
    """Send what the journal does not serve, print its lines, and return how many failed."""
    failed = 0
    async with (
        Fetcher(**options) as fetcher,
        fetcher.stream(urls, journal=journal) as results,
    ):
        async for result in results:
            failed += not result.ok
            if not result.from_journal:
                _say(sys.stdout, plain_line(result))
    return failed


def _say(stream: Any, text: str) -> None:
    if stream is not None:  # None in a program that was started without it
        TextOutput(stream).write(text)
