"""The command: what it prints and writes, and its exit codes."""

from __future__ import annotations

import gzip
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncbatch._cli import _main, main
from asyncbatch._results import _table_file
from asyncbatch.testing import LoopbackServer, Reply
from tests.markup import errors_in, text_of

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


def wait_for_requests(server: LoopbackServer, count: int) -> None:
    """Wait until so many requests have reached the server."""
    while len(server.requests) < count:
        time.sleep(0.01)


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


def test_jsonl_goes_to_its_file_and_no_lines_to_the_terminal(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """One object for each result, with the URL that was given and the final one."""
    path = tmp_path / "out.jsonl"

    code = main(["--jsonl", str(path), "--ordered", server.url("/moved"), server.url("/missing")])

    moved, missing = map(json.loads, path.read_text().splitlines())
    assert (moved["url"], moved["final_url"]) == (server.url("/moved"), server.url("/there"))
    assert (moved["ok"], missing["ok"], missing["status"]) == (True, False, 404)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("2 requests in ")
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


def test_an_empty_list_is_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Whoever wrote it meant to fetch something; nothing is opened for writing."""
    path, out = tmp_path / "urls", tmp_path / "out"
    path.write_text("# nothing yet\n")

    assert main(["-f", str(path), "--jsonl", str(out)]) == 2
    assert f"there is no URL in {path}" in capsys.readouterr().err
    assert not out.exists()


def test_one_of_several_files_may_be_empty(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """All of them are read, in their order."""
    (tmp_path / "one").write_text(server.url("/1"))
    (tmp_path / "none").write_text("")
    (tmp_path / "two").write_bytes(gzip.compress(server.url("/2\n").encode()))
    files = [word for name in ("one", "none", "two") for word in ("-f", str(tmp_path / name))]

    assert main([*files, "--ordered", server.url("/0")]) == 0
    urls = [url for _, _, url in columns(capsys.readouterr().out)]
    assert urls == [server.url(f"/{number}") for number in range(3)]


def test_a_file_that_is_given_twice_is_bad_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Under another name, too."""
    (tmp_path / "urls").write_text("http://host.test/\n")
    (tmp_path / "link").symlink_to(tmp_path / "urls")

    assert main(["-f", str(tmp_path / "urls"), "-f", str(tmp_path / "link")]) == 2
    assert "is given twice" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"BZh91AY", b"\0\1\2http://host.test/\n", b"\x1f\x8brubbish"])
def test_what_is_no_list_is_bad_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
):
    """It is named, and nothing is fetched."""
    path = tmp_path / "urls"
    path.write_bytes(content)

    assert main(["-f", str(path)]) == 2
    assert f"{path} is " in capsys.readouterr().err


def test_a_list_that_breaks_off_is_told_with_what_was_fetched(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """The URLs before that have their lines."""
    path = tmp_path / "urls"
    urls = "".join(server.url(f"/{number}\n") for number in range(3))
    packer = zlib.compressobj(wbits=31)
    path.write_bytes(packer.compress(urls.encode()) + packer.flush(zlib.Z_SYNC_FLUSH))

    assert main(["-f", str(path)]) == 1
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 3
    assert f"{path} is incomplete" in shown.err
    assert "3 requests in" in shown.err


@pytest.mark.parametrize(
    "argv",
    [
        ["-f", "{0}/none"],
        ["-f", "{0}"],
        ["--jsonl", "{0}", "u"],
        ["--report", "{0}", "u"],
        ["--report", "{0}/none/report.html", "u"],
    ],
)
def test_a_file_that_cannot_be_opened_is_bad_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str]
):
    """It is named, and nothing is fetched."""
    code = main([part.format(tmp_path) for part in argv])

    assert code == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_a_report_is_written_at_the_end(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Beside the lines and the summary."""
    path = tmp_path / "report.html"

    code = main(["--report", str(path), server.url("/a"), server.url("/missing")])

    assert code == 1
    page = path.read_text(encoding="utf-8")
    assert errors_in(page) == []
    assert text_of(page).startswith("2 requests in")
    assert "404 Not Found" in page
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 2
    assert shown.err.endswith(f"report: {path}\n")


def test_a_run_that_fetches_nothing_leaves_no_report(tmp_path: Path):
    """Whether it can be written is looked at before."""
    path = tmp_path / "report.html"

    # A folder is no journal.
    code = main(["--report", str(path), "--journal", str(tmp_path), "http://host.test/"])

    assert code == 2
    assert not path.exists()


def test_a_report_that_cannot_be_written_is_a_failure(
    server: LoopbackServer, capsys: pytest.CaptureFixture[str]
):
    """The lines and the summary are there all the same."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")

    code = main(["--report", "/dev/full", server.url("/a")])

    assert code == 1
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1
    assert "No space left" in shown.err


def test_a_column_of_a_table_has_the_urls(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Each row has its line, also one without a URL."""
    path = tmp_path / "urls.csv"
    path.write_text(f"n;link\n1;{server.url('/a')}\n2;\n3;{server.url('/b')}\n")

    code = main(["--ordered", "-f", str(path), "--column", "link"])

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["200", "invalid_request", "200"]
    assert code == 1


@pytest.mark.parametrize(
    ("name", "argv", "text"),
    [
        ("urls.csv", [], "urls.csv is a table; say which column has the URLs, as in --column url"),
        ("urls.csv", ["--column", "link"], "urls.csv has no column 'link'; it has 'url', 'n'"),
        ("urls.parquet", [], "urls.parquet is not a Parquet file"),
    ],
)
def test_a_table_that_cannot_be_read_is_bad_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, argv: list[str], text: str
):
    """Before anything is fetched."""
    path = tmp_path / name
    path.write_text("url,n\nhttp://host.test/,1\n")

    assert main(["-f", str(path), *argv]) == 2
    assert text in capsys.readouterr().err


def test_without_its_library_a_table_is_bad_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """The message names the extra, and nothing is left behind."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)

    assert main(["--parquet", str(tmp_path / "out.parquet"), "http://host.test/"]) == 2
    assert "pip install 'asyncbatch[arrow]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.extras
class TestParquet:
    """Tables in and out."""

    @pytest.fixture
    def parquet(self) -> Any:
        return pytest.importorskip("pyarrow.parquet")

    def test_a_table_is_written_instead_of_lines(
        self,
        server: LoopbackServer,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        parquet: Any,
    ):
        """And it may be what the next run reads."""
        path = tmp_path / "out.parquet"
        argv = ["--ordered", "--parquet", str(path), "--jsonl", str(tmp_path / "out.jsonl")]

        code = main([*argv, server.url("/a"), server.url("/missing")])
        again = main(["-f", str(path), "--parquet", str(tmp_path / "again.parquet"), "-q"])

        assert (code, again) == (1, 1)
        assert capsys.readouterr().out == ""
        found = parquet.read_table(path)
        assert found.column("status").to_pylist() == [200, 404]
        assert found.column("content").to_pylist() == [b"12345", b""]
        assert parquet.read_table(tmp_path / "again.parquet").num_rows == 2
        assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2
        assert not list(tmp_path.glob("*.part"))

    def test_many_results_are_written_while_others_are_fetched(
        self,
        server: LoopbackServer,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        parquet: Any,
    ):
        """Each time as many as may be held."""
        monkeypatch.setattr(_table_file, "MOST_ROWS", 2)
        path = tmp_path / "out.parquet"

        assert main(["--parquet", str(path), *(server.url(f"/{n}") for n in range(5))]) == 0
        assert parquet.ParquetFile(path).num_row_groups == 3

    def test_what_was_not_begun_leaves_no_table(self, tmp_path: Path, parquet: Any):
        """As when the journal is none."""
        (tmp_path / "run.db").write_text("no journal")
        argv = ["--journal", str(tmp_path / "run.db"), "--parquet", str(tmp_path / "out.parquet")]

        assert main([*argv, "http://host.test/"]) == 2
        assert [path.name for path in tmp_path.iterdir()] == ["run.db"]

    @pytest.mark.skipif(os.name != "posix", reason="signals are as on POSIX")
    def test_an_interrupted_run_leaves_what_there_is_under_another_name(
        self, server: LoopbackServer, tmp_path: Path, parquet: Any
    ):
        """So that nothing takes it for whole, and nothing is lost."""
        path = tmp_path / "out.parquet"
        path.write_text("of an earlier run")
        argv = [*COMMAND, "--parquet", str(path), "-c", "1", server.url("/a"), server.url("/hang")]
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
            wait_for_requests(server, 2)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate()

        assert process.returncode == 130
        assert f"the results so far are in {path}.part" in err
        assert parquet.read_table(f"{path}.part").column("status").to_pylist() == [200]
        assert path.read_text() == "of an earlier run"

    @pytest.mark.skipif(os.name != "posix", reason="signals are as on POSIX")
    def test_a_killed_run_leaves_no_table(
        self, server: LoopbackServer, tmp_path: Path, parquet: Any
    ):
        """What is left has no end, and so is no Parquet, and another name."""
        path = tmp_path / "out.parquet"
        argv = [*COMMAND, "--parquet", str(path), "-c", "1", server.url("/a"), server.url("/hang")]
        with subprocess.Popen(argv, stderr=subprocess.PIPE) as process:
            wait_for_requests(server, 2)
            process.kill()
            process.communicate()

        assert not path.exists()
        (left,) = tmp_path.iterdir()
        assert left.name.startswith(".out.parquet.")
        with pytest.raises(Exception, match="Parquet"):
            parquet.read_table(left)


@pytest.mark.parametrize("name", ["", "-"])
def test_a_report_goes_to_a_file(name: str, capsys: pytest.CaptureFixture[str]):
    """A page among the lines would help no reader."""
    with pytest.raises(SystemExit) as exited:
        main(["--report", name, "http://host.test/"])

    assert exited.value.code == 2
    assert "names no file" in capsys.readouterr().err


def test_a_full_disk_is_named(server: LoopbackServer, capsys: pytest.CaptureFixture[str]):
    """What cannot be written has failed, whatever the server said."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")

    code = main(["--jsonl", "/dev/full", server.url("/a")])

    assert code == 1
    assert "No space left" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_a_help_that_has_nowhere_to_go_is_one_line(option: str):
    """As of any other command, and no traceback."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    command = [sys.executable, "-m", "asyncbatch", option]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr


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


def test_what_a_list_has_left_when_the_time_is_over_is_counted(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Each URL that was read has a line, and the others are no success."""
    path = tmp_path / "urls"
    path.write_text("".join(server.url(f"/hang/{number}\n") for number in range(3000)))
    server.on("/hang/*", Reply().hang())

    code = main(["-f", str(path), "--batch-timeout", "0.2", "-c", "1"])

    shown = capsys.readouterr()
    lines = len(shown.out.splitlines())
    (count,) = re.findall(r"([\d,]+) URLs were not read, and so not fetched", shown.err)
    assert lines + int(count.replace(",", "")) == 3000
    assert 0 < lines < 3000
    assert code == 1


def test_a_body_is_sent_with_each_request(server: LoopbackServer):
    """By POST, as curl does it."""
    assert main(["-q", "--json", '{"a": 1}', "-b", "c=d", server.url("/a"), server.url("/b")]) == 0

    assert [request.method for request in server.requests] == ["POST"] * 2
    assert {request.body for request in server.requests} == {b'{"a": 1}'}
    assert {request.headers["content-type"] for request in server.requests} == {"application/json"}
    assert {request.headers["cookie"] for request in server.requests} == {"c=d"}


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no /dev/stdout on this system")
def test_jsonl_to_stdout_by_its_path_keeps_what_is_there(server: LoopbackServer, tmp_path: Path):
    """Opened once more, the file would be emptied."""
    path = tmp_path / "out"
    path.write_text("before\n")
    with path.open("a") as out:
        ended = subprocess.run(
            [*COMMAND, "-q", "--jsonl", "/dev/stdout", server.url("/a")], stdout=out, check=False
        )

    before, line = path.read_text().splitlines()
    assert (before, json.loads(line)["status"], ended.returncode) == ("before", 200, 0)


@pytest.mark.skipif(os.name != "posix", reason="pipes of posix")
@pytest.mark.parametrize(
    ("argv", "unbuffered"),
    [
        ([], ""),
        ([], "1"),
        (["--jsonl", "-", "-q"], ""),
        (["--jsonl", "/dev/stdout"], "1"),
    ],
)
def test_a_pipe_that_does_not_block_loses_nothing(tmp_path: Path, argv: list[str], unbuffered: str):
    """Node, ssh and asyncio make pipes so that they share; stderr has the summary, whole."""
    urls = tmp_path / "urls"
    urls.write_text("".join(f"no-url/{number}{'a' * 100}\n" for number in range(1000)))
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    process = subprocess.Popen(
        [*COMMAND, "-f", str(urls), *argv],
        stdout=writing,
        stderr=writing if argv == ["--jsonl", "-", "-q"] else subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    os.close(writing)
    with os.fdopen(reading, "rb") as out:
        # It is full long before anybody reads.
        select.select([out], [], [])
        lines = out.read().splitlines()
    _, error = process.communicate()

    assert len(lines) == 1000
    assert process.returncode == 1
    assert error is None or b"1000 requests in" in error.replace(b",", b"")


def test_more_than_the_window_is_streamed(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A batch larger than any buffer of ours loses no line."""
    path = tmp_path / "urls"
    path.write_text("".join(f"nonsense{number}\n" for number in range(1500)))

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


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_sums_up_what_was_fetched(
    server: LoopbackServer, number: signal.Signals, code: int, said: str
):
    """While stdin is still open: no traceback, the summary, what is missing, and the exit code."""
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
        wait_for_requests(server, 2)

        process.send_signal(number)
        error = process.stderr.read()

        assert process.wait(200) == code
    assert error.startswith(f"{said}\n1 request in ")
    assert "1 URL was begun but not finished, and so without a line" in error
    assert "the rest of the input was not read" in error
    assert "Traceback" not in error


@pytest.mark.parametrize("argv", [[], ["--ordered"]])
def test_after_ctrl_c_bar_summary_and_lines_have_the_same_counts(
    server: LoopbackServer, tmp_path: Path, argv: list[str]
):
    """What has ended is written, in the order of the input too, where the first has not."""
    urls = tmp_path / "urls"
    paths = ["/hang", *(f"/{number}" for number in range(500)), *["/hang"] * 50]
    urls.write_text("".join(server.url(f"{path}\n") for path in paths))
    with subprocess.Popen(
        [*COMMAND, "-f", str(urls), "--progress", "-c", "20", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for_requests(server, 400)

        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=200)

    lines = len(out.splitlines())
    (bar,) = re.findall(r"([\d,]+) done in", error)
    (summary,) = re.findall(r"([\d,]+) requests in", error)
    missing = sum(map(int, re.findall(r"(\d+) URLs? (?:were|was) (?:begun|not read)", error)))
    assert int(bar) == int(summary) == lines
    assert lines + missing == len(paths)
    assert process.returncode == 130


def test_a_second_ctrl_c_does_not_wait_for_the_reader(tmp_path: Path):
    """Whoever has stopped reading may never go on."""
    urls = tmp_path / "urls"
    urls.write_text("".join(f"no-url/{number}{'a' * 100}\n" for number in range(20_000)))
    with subprocess.Popen(
        [*COMMAND, "-f", str(urls)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        select.select([process.stdout], [], [])
        # It takes them as one if they come together.
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
        process.wait(200)
        error = process.stderr.read()

    assert process.returncode == 130
    assert b"could not be written" in error
    assert b"Traceback" not in error


def test_bad_usage_of_the_program_is_2():
    """The exit code reaches the shell."""
    ended = subprocess.run([*COMMAND, "--rate", "x"], capture_output=True, text=True, check=False)

    assert ended.returncode == 2
    assert "'x' is not a rate" in ended.stderr


@pytest.mark.once
def test_the_demo_goes_as_planned(tmp_path: Path):
    """Two thousand URLs, a plan, and no deviation; stdin is left alone. At its end is a report."""
    ended = subprocess.run(
        COMMAND,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert "Wrote report.html" in ended.stdout
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "2,000 requests in" in page
    assert errors_in(page) == []
    assert "Everything was as planned." in ended.stdout
    assert "2,000 of 2,000 done" in ended.stderr
    assert ended.returncode == 0


def test_a_demo_that_deviates_fails(monkeypatch: pytest.MonkeyPatch):
    """Whoever runs it as a check is told."""

    async def deviate() -> bool:
        return False

    monkeypatch.setattr(_main, "run_demo", deviate)

    assert main([]) == 1


def test_bodies_are_saved_to_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The second time, nothing is fetched, and the lines say so."""
    with LoopbackServer().in_thread() as server:
        argv = [server.url("/a.txt"), "-o", str(tmp_path), "--jsonl", "-"]
        codes = [main(argv), main(argv[:-2])]
    fetched, skipped = capsys.readouterr().out.splitlines()

    assert codes == [0, 0]
    assert json.loads(fetched)["path"] == str(tmp_path / "a.txt")
    assert skipped.split()[0] == "exists"
    assert (tmp_path / "a.txt").read_bytes() == b"ok"


def test_ctrl_c_ends_the_demo_with_its_code(monkeypatch: pytest.MonkeyPatch):
    """And without a traceback."""

    async def interrupt() -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(_main, "run_demo", interrupt)

    assert main([]) == 130


def test_what_is_in_stdin_is_not_lost_silently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Without an argument, the demo runs."""

    async def go_as_planned() -> bool:
        return True

    (tmp_path / "urls").write_text("http://host.test/\n")
    monkeypatch.setattr(_main, "run_demo", go_as_planned)
    with (tmp_path / "urls").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        code = main([])

    assert code == 0
    assert "stdin is not read; use -f - " in capsys.readouterr().err


def test_it_runs_in_any_thread(server: LoopbackServer, capsys: pytest.CaptureFixture[str]):
    """Signals can be waited for in the main thread only."""
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(main([server.url("/a")])))

    thread.start()
    thread.join()

    assert codes == [0]
    assert columns(capsys.readouterr().out) == [["200", "5", server.url("/a")]]


def test_ctrl_c_sums_up_too_where_signals_cannot_be_waited_for(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """As on Windows: the event loop raises a KeyboardInterrupt."""
    add = _main.SummaryBuilder.add

    def add_and_interrupt(builder: Any, result: Any) -> None:
        add(builder, result)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(_main, "_signals", list)
    monkeypatch.setattr(_main.SummaryBuilder, "add", add_and_interrupt)
    code = main([server.url("/a"), server.url("/hang")])

    assert code == 130
    assert capsys.readouterr().err.startswith("interrupted\n1 request in ")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("gone"), "the rest of the input was (gone) not read"),
        (KeyboardInterrupt(), "the rest of the input was not read"),
    ],
)
def test_input_that_cannot_be_counted_is_told_as_well(
    server: LoopbackServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    said: str,
):
    """A file that breaks off after the end of the batch, or a second Ctrl-C meanwhile."""

    def fail(source: object) -> str:
        raise error

    monkeypatch.setattr(_main.Source, "unread", fail)

    assert main([server.url("/a")]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="signals are as on POSIX")
def test_ctrl_c_before_the_first_result_is_waited_for_ends_the_run(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """There is no wait to end yet, so none begins."""
    runs: list[Any] = []
    init, open_writer = _main.Run.__init__, _main.writing_to

    def noted(run: Any, *args: Any) -> None:
        init(run, *args)
        runs.append(run)

    @asynccontextmanager
    async def interrupted(stream: Any) -> AsyncIterator[Any]:
        signal.raise_signal(signal.SIGINT)
        while runs[0]._signal is None:
            await anyio.lowlevel.checkpoint()
        async with open_writer(stream) as writer:
            yield writer

    monkeypatch.setattr(_main.Run, "__init__", noted)
    monkeypatch.setattr(_main, "writing_to", interrupted)

    assert main([server.url("/hang")]) == 130
    assert capsys.readouterr().err.startswith("interrupted\n")
