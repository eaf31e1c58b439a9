"""`--journal`, and `asyncbatch journal`: what is printed and sent, and the exit codes."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncbatch import Journal, Request, Retry, fetch_many_sync
from asyncbatch._cli import main
from asyncbatch.testing import LoopbackServer, Reply

# The command runs an event loop of its own, and reads and writes files in it.
pytestmark = pytest.mark.may_block


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer(default=Reply(body="12345")).in_thread() as server:
        server.on("/gone", Reply(404))
        server.on("/busy", Reply(503), Reply(200))
        server.on("/binary", Reply(200, b"\xff\xfe"))
        yield server


def test_the_command_goes_on_where_it_was(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each URL has its line in each run, and is fetched in one of them."""
    journal = ["--journal", str(tmp_path / "run.db"), "--ordered"]
    urls = [server.url(f"/{number}") for number in range(5)]

    assert main([*journal, *urls[:3]]) == 0
    assert main([*journal, *urls]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in lines] == [*urls[:3], *urls]
    assert len(server.requests) == 5


@pytest.mark.parametrize("path", ["missing/run.db", "."])
def test_a_journal_that_cannot_be_used_is_an_error_of_usage(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    """Nothing is sent, and the message names the file."""
    assert main(["--journal", str(tmp_path / path), server.url("/")]) == 2

    assert str(tmp_path / path) in capsys.readouterr().err
    assert not server.requests


@pytest.fixture
def run(server: LoopbackServer, tmp_path: Path) -> str:
    """Return the path of a journal with results of all sorts."""
    path = str(tmp_path / "run.db")
    requests = [
        server.url("/"),
        server.url("/gone"),
        server.url("/busy"),
        server.url("/binary"),
        Request(server.url("/gone"), "POST", content=b"1"),
        server.url("/gone?token=hush"),
    ]
    fetch_many_sync(requests, journal=path, retry=Retry(attempts=1), max_body=5000)
    return path


def test_show_prints_the_counts_and_the_failures(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stdout, with secrets masked."""
    assert main(["journal", "show", run]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "6 results"
    assert sorted(line.split() for line in lines[1:3]) == [["ok", "2"], ["status", "4"]]
    assert sorted(line.split()[0] for line in lines[3:]) == ["404", "404", "404", "503"]
    assert not any("hush" in line for line in lines)
    assert any("token=[secure]" in line for line in lines)


def test_export_prints_an_object_for_each_result(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its body, if asked to."""
    assert main(["journal", "export", run]) == 0
    plain = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert main(["journal", "export", "--bodies", run]) == 0
    full = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert len(plain) == len(full) == 6
    assert sorted(each["status"] for each in plain) == [200, 200, 404, 404, 404, 503]
    assert sorted(each["method"] for each in plain) == ["GET"] * 5 + ["POST"]
    assert not any("content" in each for each in plain)
    contents = {each["url"].rpartition("/")[2]: each for each in full if each["ok"]}
    assert contents[""]["content"] == "12345"
    assert contents["binary"]["content_base64"] == "//4="


def test_retry_sends_what_may_pass_and_names_what_it_leaves(
    server: LoopbackServer, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """GETs without secrets; the others need their program."""
    before = len(server.requests)

    assert main(["journal", "retry", run]) == 1

    shown = capsys.readouterr()
    assert [request.target for request in server.requests[before:]] == ["/busy"]
    assert [line.split()[0] for line in shown.out.splitlines()] == ["200"]
    assert "left: POST 404" in shown.err
    assert "left: GET 404" in shown.err
    assert "token=[secure]" in shown.err
    assert "2 of the failures are not sent" in shown.err
    with Journal.read(run) as journal:
        assert journal.counts() == {"ok": 3, "status": 3}


def test_retry_of_all_sends_failures_that_last(
    server: LoopbackServer, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """But nothing that was fetched, and nothing that is left."""
    before = len(server.requests)

    assert main(["journal", "retry", "--all", run]) == 1

    assert sorted(each.target for each in server.requests[before:]) == ["/busy", "/gone"]


def test_retry_has_nothing_to_do_where_all_is_well(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And leaves requests with keys to their program."""
    path = str(tmp_path / "run.db")
    fetch_many_sync([server.url("/")], journal=path)
    assert main(["journal", "retry", path]) == 0
    fetch_many_sync([Request(server.url("/gone"), key="k")], journal=path)

    assert main(["journal", "retry", "--all", path]) == 1

    assert "left: GET 404" in capsys.readouterr().err
    assert len(server.requests) == 2


@pytest.mark.parametrize("command", ["show", "export", "retry"])
def test_a_file_that_is_no_journal_is_an_error_of_usage(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether it is missing or something else."""
    (tmp_path / "text").write_text("text")

    assert main(["journal", command, str(tmp_path / "text")]) == 2
    assert main(["journal", command, str(tmp_path / "missing")]) == 2

    shown = capsys.readouterr()
    assert "no journal" in shown.err
    assert not shown.out


def test_a_command_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    """The help says which there are."""
    with pytest.raises(SystemExit) as exit_:
        main(["journal"])

    assert exit_.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_retry_fetches_no_file_again(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The journal does not say where a body goes: neither a file that is there, nor one to come."""
    path, folder = str(tmp_path / "run.db"), tmp_path / "files"
    urls = [server.url("/large"), server.url("/busy")]
    fetch_many_sync(urls, journal=path, to=folder, retry=Retry(attempts=1))
    sent = len(server.requests)

    assert main(["journal", "retry", path]) == 1

    assert len(server.requests) == sent
    assert "left: GET 503" in capsys.readouterr().err
    first, second = fetch_many_sync(urls, journal=path, to=folder)
    assert first.from_journal
    assert second.path == folder / "busy"


class Gone(io.StringIO):
    """A pipe whose reader has left."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("command", ["show", "export", "retry"])
@pytest.mark.parametrize(("stdout", "code"), [(Gone(), 141), (None, None)])
def test_a_reader_that_leaves_early_is_no_error_of_the_journal(
    server: LoopbackServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    stdout: Gone | None,
    code: int | None,
) -> None:
    """Nor is a program without stdout."""
    path = str(tmp_path / "run.db")
    fetch_many_sync([server.url("/busy")], journal=path, retry=Retry(attempts=1))
    monkeypatch.setattr(sys, "stdout", stdout)

    found = main(["journal", command, path])

    assert found == (code if code is not None else {"show": 0, "export": 0, "retry": 0}[command])
    assert capsys.readouterr().err == ""


def test_retry_leaves_what_has_succeeded_and_names_nothing_of_it(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of requests that could not be sent again."""
    path = str(tmp_path / "run.db")
    posted = Request(server.url("/ok"), "POST", content=b"1")
    fetch_many_sync([posted, server.url("/busy")], journal=path, retry=Retry(attempts=1))
    sent = len(server.requests)

    assert main(["journal", "retry", path]) == 0

    assert [request.target for request in server.requests[sent:]] == ["/busy"]
    assert capsys.readouterr().err == ""
