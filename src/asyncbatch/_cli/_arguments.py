"""
The arguments of the command, and the options of a fetcher that they stand for.

What a value may be is mostly for the fetcher to say; this says how it is written.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from argparse import SUPPRESS, ArgumentTypeError
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, TextIO

import attrs

from asyncbatch import Fetcher, Rate, Request, Retry
from asyncbatch._cli._writer import Sink
from asyncbatch._values._redaction import redacted

DESCRIPTION = """\
Fetch many URLs at once; print one line for each as it ends, and a summary on stderr.

Without arguments, show what asyncbatch does on a server inside this process.
"""
EPILOG = """\
Each line has the status, or in one word why there is none; the seconds it took; the bytes of the
decoded body; and the URL. With --jsonl there are JSON objects in their place.
A FILE of URLs has one on each line. Blank lines, and lines that begin with #, are skipped.
It is UTF-8, or UTF-16 with a byte order mark, and may be compressed with gzip.
Passwords in URLs are never printed.

Exit codes: 0, all went well; 1, a request failed, or a URL was not fetched; 2, bad usage;
130, interrupted; 143, terminated.
"""
# RFC 9110 §5.6.2.
METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
SUFFIXES = {"k": 1024, "m": 1024**2, "g": 1024**3}


@attrs.frozen(kw_only=True)
class Arguments:
    """What the command was asked to do."""

    prog: str
    """What the command is called."""
    urls: list[str]
    """Those given one by one."""
    files: list[str] = attrs.field(factory=list)
    """Where to read more from, in this order; `-` is stdin."""
    jsonl: str | None = None
    """Where to write one JSON object for each result; `-` is stdout."""
    method: str = "GET"
    body: bytes | None = None
    ordered: bool = False
    quiet: bool = False
    batch_timeout: float | None = None
    fetcher: Fetcher
    """One with the options that were given, not yet open."""

    @property
    def wants_demo(self) -> bool:
        """Whether there is nothing to fetch."""
        return not self.urls and not self.files

    def request(self, url: str) -> Request:
        """Return the request for one URL."""
        return Request(url, method=self.method, content=self.body)


OWN_OPTIONS = ("files", "jsonl", "method", "ordered", "quiet", "batch_timeout")


class _Parser(argparse.ArgumentParser):
    """Names what is wrong, without the passwords of URLs that stand in the wrong place."""

    def error(self, message: str) -> NoReturn:
        super().error(redacted(message))

    def _print_message(self, message: str, file: Any = None) -> None:
        # The help, too, may go to a pipe that does not block.
        stream = file or sys.stderr
        if message and stream is not None:
            with suppress(ValueError):
                Sink(stream).write(message)


def parse(argv: Sequence[str] | None) -> Arguments:
    """
    Return what `argv` asks for.

    Raises:
        SystemExit: With 2 and a message on stderr if it makes no sense; with 0 after `--help` and
            `--version`.
    """
    parser = _parser()
    given = vars(parser.parse_intermixed_args(argv))
    urls = given.pop("urls", [])
    if given and not urls and "files" not in given:
        parser.error("no URLs: give some, or -f FILE. The demo takes no options")
    outputs = given.pop("jsonl", [])
    if len(outputs) > 1:
        parser.error("argument --jsonl: there can be one output only")
    own = {name: given.pop(name) for name in OWN_OPTIONS if name in given}
    own |= {"jsonl": outputs[0]} if outputs else {}
    own |= _body(parser, given, own)
    given.setdefault(
        "progress",
        _has_room_for_a_bar(is_quiet=own.get("quiet", False), prints_lines=not outputs),
    )
    fetcher = _fetcher(parser, given)
    return Arguments(prog=parser.prog, urls=urls, fetcher=fetcher, **own)


def _body(parser: _Parser, given: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return body and method, and add what describes a body to the headers."""
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
        # Where it is wrong, and not what it says: it may be a secret.
        parser.error(f"argument --json: this is no JSON: {error}")
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
    """Whether a bar on stderr is seen by somebody, and has no lines of ours in between."""
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


def _prog() -> str:
    name = Path(sys.argv[0]).name
    return "python -m asyncbatch" if name == "__main__.py" else "asyncbatch"


def _parser() -> _Parser:
    # With SUPPRESS, only what was given is there afterwards: the defaults stay the fetcher's.
    parser = _Parser(
        prog=_prog(),
        usage="%(prog)s [options] [URL ...]",
        description=DESCRIPTION,
        epilog=EPILOG,
        argument_default=SUPPRESS,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("urls", nargs="*", metavar="URL", default=[])
    parser.add_argument(
        "-V", "--version", action="version", version=f"asyncbatch {version('asyncbatch')}"
    )
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
        help="read URLs from FILE, behind those given; - is stdin; may be given many times",
    )
    group.add_argument(
        "--jsonl",
        action="append",
        type=_path,
        metavar="FILE",
        help="write JSON Lines to FILE, and no lines for people; - is stdout",
    )
    group.add_argument("--ordered", action="store_true", help="print in the order of the input")
    group.add_argument("-q", "--quiet", action="store_true", help="print no lines and no summary")
    group.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show a bar on stderr; by default if that is a terminal and the lines go elsewhere",
    )


def _add_limits(group: Any) -> None:
    group.add_argument("-c", "--concurrency", type=int, metavar="N", help="requests at once")
    group.add_argument("--per-host", type=int, metavar="N", help="requests at once for each host")
    group.add_argument(
        "--rate", type=_rate, metavar="N[/S]", help="requests a second, or in S, for each host"
    )
    group.add_argument("--total-rate", type=_rate, metavar="N[/S]", help="the same over all hosts")
    group.add_argument("--attempts", type=int, metavar="N", help="tries for each request")
    group.add_argument(
        "--give-up-host-after", type=int, metavar="N", help="attempts in a row without an answer"
    )
    group.add_argument(
        "--max-body", type=_size, metavar="BYTES", help="of a decoded body; 32M, for instance"
    )
    group.add_argument(
        "--minimum-rate", type=_size, metavar="BYTES", help="a second, on average over 10 s"
    )


def _add_times(group: Any) -> None:
    for option, text in {
        "--timeout": "for one try, redirects and body included",
        "--connect-timeout": "for opening a connection",
        "--deadline": "for one request with all its tries",
        "--batch-timeout": "for everything",
    }.items():
        group.add_argument(option, type=_seconds, metavar="S", help=text)


def _add_requests(group: Any) -> None:
    group.add_argument(
        "-X",
        "--method",
        type=_method,
        metavar="NAME",
        help="GET, or with a body POST, unless you say otherwise",
    )
    group.add_argument(
        "-H",
        "--header",
        dest="headers",
        action="append",
        type=_header,
        metavar="NAME: VALUE",
        help="send this header; may be given many times",
    )
    group.add_argument(
        "-d",
        "--data",
        action="append",
        metavar="DATA",
        help="a form as the body; @FILE reads it; several are joined by &",
    )
    group.add_argument(
        "--json", action="append", metavar="JSON", help="JSON as the body; @FILE reads it"
    )
    group.add_argument(
        "-b",
        "--cookie",
        dest="cookies",
        action="append",
        type=_cookies,
        metavar="NAME=VALUE",
        help="send this cookie to every host; may be given many times",
    )
    group.add_argument("-x", "--proxy", metavar="URL", help="http://, https:// or socks5://")
    group.add_argument(
        "-k",
        "--insecure",
        dest="verify",
        action="store_false",
        help="take any certificate",
    )
    group.add_argument(
        "--no-redirects",
        dest="follow_redirects",
        action="store_false",
        help="take a redirect for the answer",
    )
    group.add_argument("--max-redirects", type=int, metavar="N", help="for one request")
    group.add_argument(
        "--public",
        dest="addresses",
        action="store_const",
        const="public",
        help="refuse private, loopback and other special addresses",
    )
    group.add_argument("--http2", action="store_true", help="needs the extra http2")


def _path(text: str) -> str:
    if not text:
        raise ArgumentTypeError("'' names no file; - is stdin or stdout")
    return text


def _method(text: str) -> str:
    if not METHOD.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} is no method: write GET or HEAD, for instance")
    return text


def _rate(text: str) -> Rate:
    count, _, seconds = text.partition("/")
    try:
        return Rate(float(count), per=float(seconds or 1))
    except ValueError:
        raise ArgumentTypeError(
            f"{text!r} is no rate: write 20 for twenty a second, or 100/60 for a hundred a minute"
        ) from None


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 < (seconds := float(text)) < math.inf:
            return seconds
    raise ArgumentTypeError(f"{text!r} is no time: write seconds above 0, such as 2.5")


def _size(text: str) -> int:
    digits, factor = text, 1
    if text[-1:].lower() in SUFFIXES:
        digits, factor = text[:-1], SUFFIXES[text[-1].lower()]
    if not (digits.isascii() and digits.isdigit()):
        raise ArgumentTypeError(f"{text!r} is no size: write 500000, 500k, 32M or 1G")
    return int(digits) * factor


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        # Not shown: it may be a secret.
        raise ArgumentTypeError("a header is written 'Name: value'")
    return name.strip(), value.strip()


def _cookies(text: str) -> list[tuple[str, str]]:
    pairs = [pair.partition("=") for pair in text.split(";") if pair.strip()]
    if not pairs or not all(name.strip() and equals for name, equals, _ in pairs):
        raise ArgumentTypeError("a cookie is written NAME=VALUE, several with ; between them")
    return [(name.strip(), value.strip()) for name, _, value in pairs]
