"""The arguments of the command, and what they ask a fetcher for."""

from __future__ import annotations

import io
import shlex
import sys
from typing import Any

import pytest

from asyncbatch import Fetcher, Rate, Retry
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


def test_the_rest_is_the_command_s_own(options: dict[str, Any]):
    """Input, output, method, and the time for everything."""
    arguments = parse(
        ["-f", "urls", "--jsonl", "out", "--ordered", "-q", "-X", "HEAD", "--batch-timeout", "60"]
    )

    assert (arguments.file, arguments.jsonl, arguments.ordered) == ("urls", "out", True)
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

    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(SystemExit) as ended:
        parse(["--public", "http://host.test/"])

    assert ended.value.code == 2
    assert "a proxy" in capsys.readouterr().err


def test_http2_is_passed_on_and_its_lack_explained(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Without the package h2, the message of httpx says what to install."""
    monkeypatch.setitem(sys.modules, "h2", None)

    with pytest.raises(SystemExit) as ended:
        parse(["--http2", "http://host.test/"])

    assert ended.value.code == 2
    assert options["http2"] is True
    assert "httpx[http2]" in capsys.readouterr().err


def test_without_any_argument_it_is_the_demo():
    """No URL, no file."""
    assert parse([]).wants_demo
    assert not parse(["http://host.test/"]).wants_demo
    assert not parse(["-f", "-"]).wants_demo


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--rate 5", "no URLs: give some, or -f FILE"),
        ("--rate x u", "'x' is no rate: write 20"),
        ("--rate 5/0 u", "'5/0' is no rate"),
        ("--rate -1 u", "'-1' is no rate"),
        ("--max-body 3x u", "'3x' is no size"),
        ("--max-body M u", "'M' is no size"),
        ("--timeout nan u", "'nan' is no time"),
        ("--deadline 0 u", "'0' is no time"),
        ("--batch-timeout inf u", "'inf' is no time"),
        ("-H foo u", "'foo' is no header: write 'Name: value'"),
        ("-H :foo u", "':foo' is no header"),
        ("--concurrency 0 u", "concurrency must be at least 1, not 0"),
        ("--per-host x u", "'x'"),
        ("--attempts 0 u", "attempts"),
        ("--bogus u", "--bogus"),
    ],
)
def test_bad_usage_is_named(argv: str, message: str, capsys: pytest.CaptureFixture[str]):
    """The message has the value, and the exit code is 2."""
    with pytest.raises(SystemExit) as ended:
        parse(argv.split())

    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_help_tells_the_columns_and_the_exit_codes(capsys: pytest.CaptureFixture[str]):
    """What a script needs to know is there."""
    with pytest.raises(SystemExit) as ended:
        parse(["--help"])

    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "Exit codes: 0" in text
    assert "Each line has the status" in text


@pytest.mark.parametrize(
    ("argv", "stdout", "stderr", "shown"),
    [
        ("u", io.StringIO(), Terminal(), True),
        ("u", Terminal(), Terminal(), False),
        ("u", io.StringIO(), io.StringIO(), False),
        ("u", None, None, False),
        ("-q u", io.StringIO(), Terminal(), False),
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
