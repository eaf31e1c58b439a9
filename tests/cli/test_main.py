"""The command: what it prints and writes, and its exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncbatch._cli import _main, main
from asyncbatch.testing import LoopbackServer, Reply

# The command runs an event loop of its own, and reads and writes files in it.
pytestmark = pytest.mark.may_block

COMMAND = [sys.executable, "-m", "asyncbatch"]


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """Run a server in a thread, since the command takes the main one."""
    with LoopbackServer(default=Reply(body="12345")).in_thread() as server:
        server.on("/missing", Reply(404))
        server.on("/moved", Reply.redirect("/there"))
        server.on("/hang", Reply().hang())
        yield server


def columns(text: str) -> list[list[str]]:
    """Return the columns of each line but the seconds."""
    return [[what, size, url] for what, _, size, url, *_ in map(str.split, text.splitlines())]


def test_each_url_has_one_line_and_the_summary_is_on_stderr(
    server: LoopbackServer, capsys: pytest.CaptureFixture[str]
):
    """Stdout is for machines, stderr for people, and all is well."""
    code = main(["--ordered", server.url("/a"), server.url("/moved")])

    shown = capsys.readouterr()
    assert code == 0
    assert columns(shown.out) == [
        ["200", "5", server.url("/a")],
        ["200", "5", server.url("/moved")],
    ]
    assert shown.err.startswith("2 requests in ")


def test_a_failed_request_makes_the_exit_code_1(
    server: LoopbackServer, capsys: pytest.CaptureFixture[str]
):
    """Whatever failed, each URL has its line."""
    code = main(
        ["--ordered", "--attempts", "1", server.url("/missing"), "nonsense", server.dead_url()]
    )

    assert code == 1
    assert [what for what, *_ in columns(capsys.readouterr().out)] == [
        "404",
        "invalid_request",
        "connect",
    ]


def test_options_reach_the_server(server: LoopbackServer, capsys: pytest.CaptureFixture[str]):
    """Method and headers are sent, and redirects are the caller's choice."""
    code = main(
        ["-X", "HEAD", "-H", "x-a: 1", "-H", "x-a: 2", "--no-redirects", server.url("/moved")]
    )

    (request,) = server.requests
    assert request.method == "HEAD"
    assert request.headers.get_list("x-a") == ["1", "2"]
    assert columns(capsys.readouterr().out) == [["302", "0", server.url("/moved")]]
    assert code == 0


def test_urls_come_from_a_file_after_those_given(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """The file's comments are no URLs."""
    path = tmp_path / "urls"
    path.write_text(f"# mine\n{server.url('/b')}\n\n{server.url('/c')}\n")

    code = main(["--ordered", "-f", str(path), server.url("/a")])

    urls = [url for _, _, url in columns(capsys.readouterr().out)]
    assert urls == [server.url("/a"), server.url("/b"), server.url("/c")]
    assert code == 0


def test_jsonl_goes_to_its_file_beside_the_lines(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """One object for each result, with the final URL."""
    path = tmp_path / "out.jsonl"

    code = main(["--jsonl", str(path), "--ordered", server.url("/moved"), server.url("/missing")])

    moved, missing = map(json.loads, path.read_text().splitlines())
    assert (moved["url"], moved["final_url"]) == (server.url("/moved"), server.url("/there"))
    assert (moved["ok"], missing["ok"], missing["status"]) == (True, False, 404)
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert code == 1


def test_jsonl_on_stdout_takes_the_place_of_the_lines(
    server: LoopbackServer, capsys: pytest.CaptureFixture[str]
):
    """Every line of stdout is JSON, also when quiet."""
    code = main(["--jsonl", "-", "-q", server.url("/a")])

    shown = capsys.readouterr()
    (record,) = map(json.loads, shown.out.splitlines())
    assert record["bytes"] == 5
    assert shown.err == ""
    assert code == 0


def test_quiet_prints_nothing(server: LoopbackServer, capsys: pytest.CaptureFixture[str]):
    """The exit code says it all."""
    code = main(["-q", server.url("/missing")])

    assert capsys.readouterr() == ("", "")
    assert code == 1


def test_an_empty_file_is_a_batch_that_went_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Nothing to fetch, nothing failed."""
    path = tmp_path / "urls"
    path.write_text("# nothing yet\n")

    assert main(["-f", str(path)]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("argv", [["-f", "{0}/none"], ["-f", "{0}"], ["--jsonl", "{0}", "u"]])
def test_a_file_that_cannot_be_opened_is_bad_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str]
):
    """It is named, and nothing is fetched."""
    code = main([part.format(tmp_path) for part in argv])

    assert code == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_the_urls_are_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Opening the output would empty the input."""
    path = tmp_path / "urls"
    path.write_text("http://host.test/\n")
    (tmp_path / "link").symlink_to(path)

    code = main(["-f", str(path), "--jsonl", str(tmp_path / "link")])

    assert code == 2
    assert path.read_text() == "http://host.test/\n"
    assert "would overwrite" in capsys.readouterr().err


def test_a_full_disk_is_named(server: LoopbackServer, capsys: pytest.CaptureFixture[str]):
    """What cannot be written has failed, whatever the server said."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")

    code = main(["--jsonl", "/dev/full", server.url("/a")])

    assert code == 1
    assert "No space left" in capsys.readouterr().err


def test_a_program_without_stdout_and_stderr_still_fetches(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
):
    """A service may have neither."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)

    assert main([server.url("/a")]) == 0
    assert len(server.requests) == 1


def test_the_time_for_everything_leaves_nothing_out(
    server: LoopbackServer, capsys: pytest.CaptureFixture[str]
):
    """What has not ended by then has its line too."""
    code = main(["--batch-timeout", "1", "-c", "1", server.url("/hang"), server.url("/a")])

    kinds = sorted(what for what, *_ in columns(capsys.readouterr().out))
    assert kinds == ["not_started", "timeout"]
    assert code == 1


def test_more_than_the_window_is_streamed(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A batch larger than any buffer of ours loses no line."""
    path = tmp_path / "urls"
    path.write_text("".join(f"nonsense{number}\n" for number in range(5000)))

    code = main(["-f", str(path), "--ordered"])

    assert [url for *_, url in columns(capsys.readouterr().out)] == path.read_text().split()
    assert code == 1


def test_a_reader_that_leaves_early_ends_it_quietly(server: LoopbackServer):
    """`| head` costs no traceback."""
    urls = "".join(f"{server.url(f'/{number}')}\n" for number in range(500))
    with subprocess.Popen(
        [*COMMAND, "-f", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(urls)
        process.stdin.flush()
        first = process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read()

        assert process.wait(200) == _main.BROKEN_PIPE
    assert first.startswith("200 ")
    assert error == ""


def test_ctrl_c_sums_up_what_was_fetched(server: LoopbackServer):
    """While stdin is still open: no traceback, the summary, and the exit code of an interrupt."""
    with subprocess.Popen(
        [*COMMAND, "-f", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(f"{server.url('/a')}\n{server.url('/hang')}\n")
        process.stdin.flush()
        process.stdout.readline()

        process.send_signal(signal.SIGINT)
        error = process.stderr.read()

        assert process.wait(200) == _main.INTERRUPTED
    assert error.startswith("interrupted\n1 request in ")
    assert "Traceback" not in error


def test_bad_usage_of_the_program_is_2():
    """The exit code reaches the shell."""
    ended = subprocess.run([*COMMAND, "--rate", "x"], capture_output=True, text=True, check=False)

    assert ended.returncode == 2
    assert "'x' is no rate" in ended.stderr


def test_the_demo_goes_as_planned():
    """Two thousand URLs, a plan, and no deviation; stdin is left alone."""
    ended = subprocess.run(
        COMMAND, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )

    assert "Everything was as planned." in ended.stdout
    assert "2,000 of 2,000 done" in ended.stderr
    assert ended.returncode == 0


def test_a_demo_that_deviates_fails(monkeypatch: pytest.MonkeyPatch):
    """Whoever runs it as a check is told."""

    async def deviate() -> bool:
        return False

    monkeypatch.setattr(_main, "run_demo", deviate)

    assert main([]) == 1
