"""The options of the command: how each value is written."""

from __future__ import annotations

import sys
from importlib.metadata import version
from inspect import signature

import pytest

from asyncbatch import Fetcher, Rate
from asyncbatch._cli._parser import make_parser


def given(*argv: str) -> dict[str, object]:
    return vars(make_parser().parse_intermixed_args(argv))


def test_an_option_that_is_not_given_is_missing():
    """So that the fetcher's own default applies."""
    assert given("http://a.test/") == {"urls": ["http://a.test/"]}


@pytest.mark.parametrize(
    ("argv", "name", "value"),
    [
        ("--rate 20", "rate", Rate(20)),
        ("--rate 100/60", "rate", Rate(100, per=60)),
        ("--max-body 500", "max_body", 500),
        ("--max-body 3k", "max_body", 3 * 1024),
        ("--max-body 32M", "max_body", 32 * 1024**2),
        ("--max-body 1g", "max_body", 1024**3),
        ("--timeout 2.5", "timeout", 2.5),
        ("-H a:b:c", "headers", [("a", "b:c")]),
        ("-b a=1;b=2=3", "cookies", [[("a", "1"), ("b", "2=3")]]),
        ("-X PURGE", "method", "PURGE"),
        ("--no-resume", "resume", False),
        ("-k", "verify", False),
        ("--public", "addresses", "public"),
    ],
)
def test_a_value_is_read_as_it_is_written(argv: str, name: str, value: object):
    """And has the type that the fetcher knows."""
    assert given(*argv.split(), "u")[name] == value


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--rate x u", "'x' is not a rate; write 20"),
        ("--rate 5/0 u", "'5/0' is not a rate"),
        ("--rate -1 u", "'-1' is not a rate"),
        ("--max-body 3x u", "'3x' is not a size"),
        ("--max-body M u", "'M' is not a size"),
        ("--timeout nan u", "'nan' is not a time"),
        ("--deadline 0 u", "'0' is not a time"),
        ("--batch-timeout inf u", "'inf' is not a time"),
        ("-H foo u", "write a header as 'Name: value'"),
        ("-H :foo u", "write a header as 'Name: value'"),
        ("-b foo u", "write a cookie as NAME=VALUE"),
        ("-b =foo u", "write a cookie as NAME=VALUE"),
        ("--per-host x u", "'x'"),
        ("--bogus u", "--bogus"),
        ("-o= u", "argument -o/--output: '' names no folder; write one such as downloads"),
        ("--journal= u", "argument --journal: '' names no file; write one such as run.db"),
        ("--journal - u", "argument --journal: '-' names no file; write one such as run.db"),
        (
            "--parquet - u",
            "argument --parquet: '-' names no file; write one such as results.parquet",
        ),
        ("--report - u", "argument --report: '-' names no file; write one such as report.html"),
        ("--attempts 0 u", "argument --attempts: '0' is no number of tries; write 1"),
        ("--attempts x u", "argument --attempts: 'x' is no number of tries"),
        ("-o d --exists ask u", "invalid choice: 'ask'"),
        ("-f= u", "argument -f/--file: '' names no file"),
        ("--jsonl= u", "argument --jsonl: '' names no file"),
        ("-X= u", "'' is not a method"),
        ("--method=G{T u", "'G{T' is not a method"),
    ],
)
def test_a_value_of_another_form_is_named(
    argv: str, message: str, capsys: pytest.CaptureFixture[str]
):
    """The message has the value, and the exit code is 2."""
    with pytest.raises(SystemExit) as ended:
        given(*argv.split())

    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_help_tells_the_columns_and_the_exit_codes(capsys: pytest.CaptureFixture[str]):
    """What a script needs to know is there."""
    with pytest.raises(SystemExit) as ended:
        given("--help")

    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "Exit codes: 0" in text
    assert "Each line has the status" in text


def test_help_has_the_defaults_of_a_fetcher(capsys: pytest.CaptureFixture[str]):
    """They are written into the help as text, so they could differ from those of `Fetcher`."""
    with pytest.raises(SystemExit):
        given("--help")

    text = " ".join(capsys.readouterr().out.split())
    defaults = {name: each.default for name, each in signature(Fetcher).parameters.items()}
    assert f"most requests at a time ({defaults['concurrency']})" in text
    assert f"tries for each request ({defaults['retry'].attempts})" in text
    assert f"without an answer ({defaults['give_up_host_after']})" in text
    assert f"most bytes of a decoded body ({defaults['max_body'] // 1024**2}M)" in text
    assert f"redirects and body included ({defaults['timeout']:g})" in text
    assert f"for opening a connection ({defaults['connect_timeout']:g})" in text
    assert f"most redirects of one request ({defaults['max_redirects']})" in text


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]):
    """For bug reports."""
    with pytest.raises(SystemExit) as ended:
        given("--version")

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"asyncbatch {version('asyncbatch')}\n"


def test_options_may_stand_between_urls():
    """As they do in most commands."""
    arguments = given("http://a.test/", "-q", "http://b.test/", "--ordered", "http://c.test/")

    assert arguments["urls"] == ["http://a.test/", "http://b.test/", "http://c.test/"]


def test_help_that_has_nowhere_to_go_is_no_error(monkeypatch: pytest.MonkeyPatch):
    """A service may have neither stdout nor stderr."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)

    with pytest.raises(SystemExit) as ended:
        given("--help")

    assert ended.value.code == 0
