"""
The arguments of the command, and the fetcher that they stand for.

The options themselves are in `_parser`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import attrs

from asyncbatch import Fetcher, Folder, Request, Retry
from asyncbatch._cli._parser import Parser, make_parser


@attrs.frozen(kw_only=True)
class Arguments:
    """The parsed arguments of the command."""

    prog: str
    """The name of the command."""
    urls: list[str]
    """The URLs given as arguments."""
    files: list[str] = attrs.field(factory=list)
    """The files to read more URLs from, in this order; `-` is stdin."""
    jsonl: str | None = None
    """The file for one JSON object per result; `-` is stdout."""
    parquet: str | None = None
    """The file for a table of the results."""
    column: str | None = None
    """The column with the URLs, if the files are tables."""
    report: str | None = None
    """The file for the report, an HTML page."""
    method: str = "GET"
    body: bytes | None = None
    ordered: bool = False
    quiet: bool = False
    batch_timeout: float | None = None
    journal: str | None = None
    """The file in which the results are kept."""
    folder: Folder | None = None
    """Where the bodies go, if not into memory."""
    fetcher: Fetcher
    """A fetcher with the given options, not yet open."""

    @property
    def wants_demo(self) -> bool:
        """Whether there is nothing to fetch."""
        return not self.urls and not self.files

    def request(self, url: str) -> Request:
        """Return the request for one URL."""
        return Request(url, method=self.method, content=self.body)


OWN_OPTIONS = (
    *("files", "column", "jsonl", "parquet", "report", "journal"),
    *("method", "ordered", "quiet", "batch_timeout"),
)


def parse(argv: Sequence[str] | None) -> Arguments:
    """
    Parse `argv`.

    Raises:
        SystemExit: With 2 and a message on stderr if it is invalid; with 0 after `--help` and
            `--version`.
    """
    parser = make_parser()
    given = vars(parser.parse_intermixed_args(argv))
    urls = given.pop("urls", [])
    if given and not urls and "files" not in given:
        parser.error("no URLs: give some, or -f FILE. The demo takes no options")
    if "column" in given and "files" not in given:
        parser.error("argument --column: it is for tables; give -f FILE too")
    outputs = given.pop("jsonl", [])
    if len(outputs) > 1:
        parser.error("argument --jsonl: there can be one output only")
    own = {name: given.pop(name) for name in OWN_OPTIONS if name in given}
    own |= {"jsonl": outputs[0]} if outputs else {}
    own |= _body(parser, given, own)
    _add_folder(parser, given)
    given.setdefault(
        "progress",
        _has_room_for_a_bar(
            is_quiet=own.get("quiet", False), prints_lines=not outputs and "parquet" not in own
        ),
    )
    folder = given.get("to")
    fetcher = _fetcher(parser, given)
    return Arguments(prog=parser.prog, urls=urls, folder=folder, fetcher=fetcher, **own)


def _add_folder(parser: Parser, given: dict[str, Any]) -> None:
    """Turn the options about files into the fetcher's `to`."""
    folder = given.pop("output", None)
    more = {name: given.pop(name) for name in ("resume", "exists") if name in given}
    if folder is not None:
        given["to"] = Folder(folder, **more)
    elif more:
        option = "--exists" if "exists" in more else "--resume/--no-resume"
        parser.error(f"argument {option}: it is for files; give -o DIR too")


def _body(parser: Parser, given: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return body and method, and add the headers that describe the body."""
    data, parts = given.pop("data", []), given.pop("json", [])
    if not data and not parts:
        return {}
    if data and parts:
        parser.error("argument --json: a body is either --data or --json")
    if "-" in own.get("files", []) and "@-" in [*data, *parts]:
        parser.error("argument --data: stdin is read for URLs already")
    try:
        body = b"".join(map(_content, parts)) or b"&".join(map(_content, data))
        if parts:
            json.loads(body)
    except OSError as error:
        parser.error(f"argument {'--json' if parts else '--data'}: {error}")
    except ValueError as error:
        # The position of the error, and not the text, which may be a secret.
        parser.error(f"argument --json: not valid JSON: {error}")
    headers = given.setdefault("headers", [])
    names = {name.lower() for name, _ in headers}
    kind = "application/json" if parts else "application/x-www-form-urlencoded"
    fields = {"Content-Type": kind} | ({"Accept": kind} if parts else {})
    headers += [(name, value) for name, value in fields.items() if name.lower() not in names]
    return {"body": body, "method": own.get("method", "POST")}


def _content(text: str) -> bytes:
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    if text == "@-":
        return sys.stdin.buffer.read()
    if text == "@":
        raise FileNotFoundError("'@' names no file; @FILE reads FILE, and @- stdin")
    return Path(text[1:]).read_bytes()


def _has_room_for_a_bar(*, is_quiet: bool, prints_lines: bool) -> bool:
    """Whether stderr is a terminal, and no lines go there in between."""
    if is_quiet or not _is_terminal(sys.stderr):
        return False
    return not (prints_lines and _is_terminal(sys.stdout))


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _fetcher(parser: argparse.ArgumentParser, options: dict[str, Any]) -> Fetcher:
    try:
        if "attempts" in options:
            options["retry"] = Retry(attempts=options.pop("attempts"))
        if "cookies" in options:
            options["cookies"] = [pair for pairs in options["cookies"] for pair in pairs]
        return Fetcher(**options)
    except (TypeError, ValueError, ImportError) as error:
        parser.error(str(error))
