"""
The options of the command: their names, their help, and how each value is written.

`_arguments` makes a fetcher of them; most rules about values are the fetcher's.
"""

from __future__ import annotations

import argparse
import math
import sys
from argparse import SUPPRESS, ArgumentTypeError
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from asyncbatch import Rate, __version__
from asyncbatch._cli._writer import TextOutput
from asyncbatch._values._fields import TOKEN
from asyncbatch._values._redaction import redacted

DESCRIPTION = """\
Fetch many URLs at once; print one line for each as it ends, and a summary on stderr.

Without arguments, run a demo against a server inside this process.
"""
EPILOG = """\
Each line has the status, or the kind of failure; the seconds it took; the bytes of the decoded
body; and the URL. A file that exists and is skipped has "exists" in place of a status.
With --jsonl, JSON objects are written instead.
A FILE of URLs has one on each line. Blank lines, and lines that begin with #, are skipped.
It is UTF-8, or UTF-16 with a byte order mark, and may be compressed with gzip.
With --column it is CSV, whose first line has the names of the columns. It may be Parquet too.
Passwords in URLs are never printed.
`asyncbatch journal --help` explains the commands for the files of --journal.
Numbers in parentheses are defaults.

Exit codes: 0, all succeeded; 1, a request failed, or a URL was not fetched; 2, wrong usage;
130, interrupted; 141, the reader of the output closed it; 143, terminated.
"""
SUFFIXES = {"k": 1024, "m": 1024**2, "g": 1024**3}


class Parser(argparse.ArgumentParser):
    """An argument parser whose messages hide the passwords of misplaced URLs."""

    def error(self, message: str) -> NoReturn:
        super().error(redacted(message))

    def _print_message(self, message: str, file: Any = None) -> None:
        # The help may go to a non-blocking pipe too.
        stream = file or sys.stderr
        if message and stream is not None:
            with suppress(ValueError):
                TextOutput(stream).write(message)


def prog_name() -> str:
    """Return the name of the command, as it was called."""
    name = Path(sys.argv[0]).name
    return "python -m asyncbatch" if name == "__main__.py" else "asyncbatch"


def make_parser() -> Parser:
    """Return the parser; the options that are not given are missing in what it returns."""
    # SUPPRESS leaves out the options not given, so that the defaults of the fetcher apply.
    parser = Parser(
        prog=prog_name(),
        usage="%(prog)s [options] [URL ...]",
        description=DESCRIPTION,
        epilog=EPILOG,
        argument_default=SUPPRESS,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("urls", nargs="*", metavar="URL", default=[])
    parser.add_argument("-V", "--version", action="version", version=f"asyncbatch {__version__}")
    _add_input_and_output(parser.add_argument_group("input and output"))
    _add_limits(parser.add_argument_group("how much at once"))
    _add_times(parser.add_argument_group("how long (seconds)"))
    _add_requests(parser.add_argument_group("requests"))
    return parser


def _add_input_and_output(group: Any) -> None:
    group.add_argument(
        "-f",
        "--file",
        dest="files",
        action="append",
        type=_path,
        metavar="FILE",
        help="read URLs from FILE, after those given; - is stdin; may be repeated",
    )
    group.add_argument(
        "--column",
        metavar="NAME",
        help="the column with the URLs, for a FILE that is CSV or Parquet",
    )
    group.add_argument(
        "--jsonl",
        action="append",
        type=_path,
        metavar="FILE",
        help="write JSON Lines to FILE instead of plain lines; - is stdout",
    )
    group.add_argument(
        "--parquet",
        type=_named("file", "results.parquet"),
        metavar="FILE",
        help="write a table with the bodies to FILE instead of lines; needs the extra arrow",
    )
    group.add_argument(
        "--report",
        type=_named("file", "report.html"),
        metavar="FILE",
        help="write a report to FILE at the end: an HTML page that says what was slow, and why",
    )
    group.add_argument(
        "--journal",
        type=_named("file", "run.db"),
        metavar="FILE",
        help="keep the results in FILE; the same command run again goes on from there",
    )
    group.add_argument(
        "-o",
        "--output",
        type=_named("folder", "downloads"),
        metavar="DIR",
        help="save each body to a file in DIR, named after its URL",
    )
    group.add_argument(
        "--exists",
        choices=["skip", "refresh", "overwrite", "error", "rename"],
        help="what to do if a file exists; by default, skip it",
    )
    group.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        help="continue files that broke off in an earlier run; the default",
    )
    group.add_argument("--ordered", action="store_true", help="print in the order of the input")
    group.add_argument("-q", "--quiet", action="store_true", help="print no lines and no summary")
    group.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show a bar on stderr; by default if that is a terminal and the lines go elsewhere",
    )


def _add_limits(group: Any) -> None:
    group.add_argument(
        "-c", "--concurrency", type=int, metavar="N", help="most requests at a time (100)"
    )
    group.add_argument("--per-host", type=int, metavar="N", help="most requests at a time per host")
    group.add_argument(
        "--rate",
        type=_rate,
        metavar="N[/S]",
        help="requests per second, or per S seconds, per host",
    )
    group.add_argument("--total-rate", type=_rate, metavar="N[/S]", help="the same over all hosts")
    group.add_argument("--attempts", type=_tries, metavar="N", help="tries for each request (3)")
    group.add_argument(
        "--give-up-host-after",
        type=int,
        metavar="N",
        help="give a host up after N attempts in a row without an answer (10)",
    )
    group.add_argument(
        "--max-body", type=_size, metavar="BYTES", help="most bytes of a decoded body (32M)"
    )
    group.add_argument(
        "--minimum-rate",
        type=_size,
        metavar="BYTES",
        help="end a response that is slower, in bytes per second over 10 s",
    )


def _add_times(group: Any) -> None:
    for option, text in {
        "--timeout": "for one try, redirects and body included (30)",
        "--connect-timeout": "for opening a connection (10)",
        "--deadline": "for one request with all its tries",
        "--batch-timeout": "for the whole run",
    }.items():
        group.add_argument(option, type=_seconds, metavar="S", help=text)


def _add_requests(group: Any) -> None:
    group.add_argument(
        "-X",
        "--method",
        type=_method,
        metavar="NAME",
        help="the method; by default GET, or POST with a body",
    )
    group.add_argument(
        "-H",
        "--header",
        dest="headers",
        action="append",
        type=_header,
        metavar="NAME: VALUE",
        help="send this header; may be repeated",
    )
    group.add_argument(
        "-d",
        "--data",
        action="append",
        metavar="DATA",
        help="send a form as the body; @FILE reads a file; several are joined by &",
    )
    group.add_argument(
        "--json", action="append", metavar="JSON", help="send JSON as the body; @FILE reads a file"
    )
    group.add_argument(
        "-b",
        "--cookie",
        dest="cookies",
        action="append",
        type=_cookies,
        metavar="NAME=VALUE",
        help="send this cookie to every host; may be repeated",
    )
    group.add_argument(
        "-x",
        "--proxy",
        metavar="URL",
        help="send through this proxy: http://, https://, socks5:// or socks5h://",
    )
    group.add_argument(
        "-k",
        "--insecure",
        dest="verify",
        action="store_false",
        help="accept any certificate",
    )
    group.add_argument(
        "--no-redirects",
        dest="follow_redirects",
        action="store_false",
        help="do not follow redirects",
    )
    group.add_argument(
        "--max-redirects", type=int, metavar="N", help="most redirects of one request (20)"
    )
    group.add_argument(
        "--public",
        dest="addresses",
        action="store_const",
        const="public",
        help="refuse private, loopback and other special addresses",
    )
    group.add_argument(
        "--proxy-resolves",
        action="store_true",
        help="with --public, let a proxy resolve names, whose addresses are not checked then",
    )
    group.add_argument(
        "--http2",
        action="store_true",
        help="speak HTTP/2 with servers that do; needs the extra http2",
    )


def _path(text: str) -> str:
    if not text:
        raise ArgumentTypeError("'' names no file; - is stdin or stdout")
    return text


def _named(what: str, example: str) -> Callable[[str], str]:
    """Return a function that takes the name of a file or folder."""

    def named(text: str) -> str:
        if text in ("", "-"):
            raise ArgumentTypeError(f"{text!r} names no {what}; write one such as {example}")
        return text

    return named


def _tries(text: str) -> int:
    with suppress(ValueError):
        if (tries := int(text)) > 0:
            return tries
    raise ArgumentTypeError(f"{text!r} is no number of tries; write 1 to try each request once")


def _method(text: str) -> str:
    if not TOKEN.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} is not a method; write one such as GET or HEAD")
    return text


def _rate(text: str) -> Rate:
    count, _, seconds = text.partition("/")
    try:
        return Rate(float(count), per=float(seconds or 1))
    except ValueError:
        raise ArgumentTypeError(
            f"{text!r} is not a rate; write 20 for twenty a second, 100/60 for a hundred a minute"
        ) from None


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 < (seconds := float(text)) < math.inf:
            return seconds
    raise ArgumentTypeError(f"{text!r} is not a time; write seconds above 0, such as 2.5")


def _size(text: str) -> int:
    digits, factor = text, 1
    if text[-1:].lower() in SUFFIXES:
        digits, factor = text[:-1], SUFFIXES[text[-1].lower()]
    if not (digits.isascii() and digits.isdigit()):
        raise ArgumentTypeError(f"{text!r} is not a size; write 500000, 500k, 32M or 1G")
    return int(digits) * factor


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        # Without the text, which may be a secret.
        raise ArgumentTypeError("write a header as 'Name: value'")
    return name.strip(), value.strip()


def _cookies(text: str) -> list[tuple[str, str]]:
    pairs = [pair.partition("=") for pair in text.split(";") if pair.strip()]
    if not pairs or not all(name.strip() and equals for name, equals, _ in pairs):
        raise ArgumentTypeError("write a cookie as NAME=VALUE, and several with ; between them")
    return [(name.strip(), value.strip()) for name, _, value in pairs]
