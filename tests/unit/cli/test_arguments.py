"""The arguments of the command, and what they ask a fetcher for."""

from __future__ import annotations

import importlib.util
import io
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from asyncbatch import Fetcher, Folder, Rate, Retry
from asyncbatch._cli import _arguments
from asyncbatch._cli._arguments import parse


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the fetcher was made with, once it was."""
    given: dict[str, Any] = {}

    def make(**options: Any) -> Fetcher:
        given.update(options)
        return Fetcher(**options)

    monkeypatch.setattr(_arguments, "Fetcher", make)
    return given


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_what_is_not_given_is_left_to_the_fetcher(options: dict[str, Any]):
    """The command has no defaults of its own."""
    arguments = parse(["http://host.test/"])

    assert arguments.urls == ["http://host.test/"]
    assert options == {"progress": False}


def test_each_option_reaches_the_fetcher(options: dict[str, Any]):
    """By the name and in the type that the fetcher knows."""
    parse(
        shlex.split(
            "-c 7 --per-host 2 --rate 20 --total-rate 100/60 --attempts 5 --give-up-host-after 3"
            " --max-body 32M --minimum-rate 1k --timeout 2.5 --connect-timeout 1 --deadline 9"
            " --no-redirects --max-redirects 4 -H a:1 --header B:c:d --progress http://host.test/"
        )
    )

    assert options == {
        "concurrency": 7,
        "per_host": 2,
        "rate": Rate(20.0),
        "total_rate": Rate(100.0, per=60.0),
        "retry": Retry(attempts=5),
        "give_up_host_after": 3,
        "max_body": 32 * 1024 * 1024,
        "minimum_rate": 1024,
        "timeout": 2.5,
        "connect_timeout": 1.0,
        "deadline": 9.0,
        "follow_redirects": False,
        "max_redirects": 4,
        "headers": [("a", "1"), ("B", "c:d")],
        "progress": True,
    }


def test_a_folder_for_the_bodies_is_the_fetcher_s(options: dict[str, Any]):
    """With what the other options say about its files."""
    parse(["-o", "d", "http://host.test/"])
    assert options["to"] == Folder("d")
    parse(["-o", "d", "--resume", "http://host.test/"])
    assert options["to"] == Folder("d")
    parse(["--output", "d", "--no-resume", "--exists", "rename", "http://host.test/"])
    assert options["to"] == Folder("d", exists="rename", resume=False)


def test_the_rest_is_the_command_s_own(options: dict[str, Any]):
    """Input, output, method, and the time for everything."""
    arguments = parse(
        [
            "-f",
            "urls",
            "-f",
            "-",
            "--jsonl",
            "out",
            "--ordered",
            "-q",
            "-X",
            "HEAD",
            "--batch-timeout",
            "60",
        ]
    )

    assert arguments.files == ["urls", "-"]
    assert (arguments.jsonl, arguments.ordered) == ("out", True)
    assert (arguments.quiet, arguments.batch_timeout) == (True, 60.0)
    assert arguments.request("http://host.test/").method == "HEAD"
    assert options == {"progress": False}


def test_public_keeps_out_of_private_networks(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """And says so where a proxy of the environment would connect in its place."""
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    parse(["--public", "http://host.test/"])
    assert options["addresses"] == "public"
    parse(["--public", "--proxy-resolves", "--proxy", "http://127.0.0.1:1", "http://host.test/"])
    assert options["proxy_resolves"] is True

    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(SystemExit) as ended:
        parse(["--public", "http://host.test/"])

    assert ended.value.code == 2
    assert "a proxy" in capsys.readouterr().err


def test_http2_is_passed_on_and_its_lack_explained(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Without the extra, the message says what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(SystemExit) as ended:
        parse(["--http2", "http://host.test/"])

    assert ended.value.code == 2
    assert options["http2"] is True
    assert "asyncbatch[http2]" in capsys.readouterr().err


def test_without_any_argument_it_is_the_demo():
    """No URL, no file."""
    assert parse([]).wants_demo
    assert not parse(["http://host.test/"]).wants_demo
    assert not parse(["-f", "-"]).wants_demo


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--rate 5", "no URLs: give some, or -f FILE"),
        ("--json {a u", "not valid JSON"),
        ("--json 1 -d a=b u", "a body is either --data or --json"),
        ("-d @/nowhere/at/all u", "/nowhere/at/all"),
        ("-d @- -f -", "stdin is read for URLs already"),
        ("--jsonl a --jsonl b u", "there can be one output only"),
        ("--proxy host:3128 u", "proxy must be a URL"),
        ("--concurrency 0 u", "concurrency must be at least 1, not 0"),
        ("--exists skip u", "argument --exists: it is for files; give -o DIR too"),
        ("--column url u", "argument --column: it is for tables; give -f FILE too"),
        ("--no-resume u", "argument --resume/--no-resume: it is for files; give -o DIR too"),
        ("-d @ u", "argument --data: '@' names no file; @FILE"),
        ("--json @ u", "argument --json: '@' names no file; @FILE"),
        ("--json @/nowhere/at/all u", "argument --json: "),
    ],
)
def test_bad_usage_is_named(argv: str, message: str, capsys: pytest.CaptureFixture[str]):
    """The message has the value, and the exit code is 2."""
    with pytest.raises(SystemExit) as ended:
        parse(argv.split())

    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "stdout", "stderr", "shown"),
    [
        ("u", io.StringIO(), Terminal(), True),
        ("u", Terminal(), Terminal(), False),
        ("u", io.StringIO(), io.StringIO(), False),
        ("u", None, None, False),
        ("-q u", io.StringIO(), Terminal(), False),
        ("--jsonl out u", Terminal(), Terminal(), True),
        ("--jsonl - u", Terminal(), Terminal(), True),
        ("--progress u", Terminal(), io.StringIO(), True),
        ("--no-progress u", io.StringIO(), Terminal(), False),
    ],
)
def test_a_bar_is_shown_where_it_is_in_nobody_s_way(
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    argv: str,
    stdout: io.StringIO | None,
    stderr: io.StringIO | None,
    shown: bool,
):
    """Somebody sees it, no lines of ours come in between, and the caller has the last word."""
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(sys, "stderr", stderr)

    parse(argv.split())

    assert options["progress"] is shown


def sent(*argv: str) -> tuple[str, Any, dict[str, str]]:
    """Return method, body and the headers that these arguments make of a request."""
    arguments = parse([*argv, "http://host.test/"])
    request = arguments.request("http://host.test/")
    headers = dict(arguments.fetcher.client.headers)
    return request.method, request.content, headers


def test_a_body_is_posted(tmp_path: Path):
    """As curl does it, unless another method is given; the headers may be too."""
    (tmp_path / "body").write_bytes(b"c=d\n")

    form = sent("-d", "a=b", "--data", f"@{tmp_path}/body")
    json = sent("--json", '{"a":', "--json", "1}", "-X", "PUT", "-H", "Accept: text/plain")

    assert form[:2] == ("POST", b"a=b&c=d\n")
    assert form[2]["content-type"] == "application/x-www-form-urlencoded"
    assert json[:2] == ("PUT", b'{"a":1}')
    assert (json[2]["content-type"], json[2]["accept"]) == ("application/json", "text/plain")


def test_a_body_may_come_from_stdin(monkeypatch: pytest.MonkeyPatch):
    """As it is, not as text."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\r\n")))

    assert sent("-d", "@-")[:2] == ("POST", b"\xff\r\n")


def test_cookies_proxy_and_certificates_are_those_of_a_fetcher(options: dict[str, Any]):
    """With the letters that curl has for them."""
    parse(
        [
            "-b",
            "a=1;b=x=y",
            "--cookie",
            "c=3",
            "-k",
            "-x",
            "http://me:pw@127.0.0.1:1",
            "http://host.test/",
        ]
    )

    assert options["cookies"] == [("a", "1"), ("b", "x=y"), ("c", "3")]
    assert options["verify"] is False
    assert options["proxy"] == "http://me:pw@127.0.0.1:1"


@pytest.mark.parametrize(
    "argv",
    [
        ["--no-such", "http://me:S3cr3t@host.test/"],
        ["--no-such=http:/me:S3cr3t@host.test/", "u"],
        ["-H", "Authorization S3cr3t", "u"],
        ["-b", "S3cr3t", "u"],
        ["-x", "http://me:S3cr3t/2@host.test", "u"],
        ["-x", "me:S3cr3t@host.test", "u"],
        ["--json", '{"password": S3cr3t', "u"],
    ],
)
def test_bad_usage_shows_no_secret(argv: list[str], capsys: pytest.CaptureFixture[str]):
    """It may end up in the log of whatever has called the command."""
    with pytest.raises(SystemExit):
        parse(argv)

    assert "S3cr3t" not in capsys.readouterr().err
