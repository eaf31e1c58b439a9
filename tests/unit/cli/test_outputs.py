"""The files that the command writes: none is written over another, and none is lost."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest

from asyncbatch._cli import main
from asyncbatch.testing import LoopbackServer, Reply

WRITTEN = ("--jsonl", "--parquet", "--report", "--journal")


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """Run a server in a thread, since the command takes the main one."""
    with LoopbackServer(default=Reply(body=b"body")).in_thread() as server:
        yield server


@pytest.mark.parametrize("option", ["--jsonl", "--parquet", "--report"])
def test_the_urls_are_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
):
    """Opening the output would empty the input; a link to it is it."""
    path = tmp_path / "urls"
    path.write_text("http://host.test/\n")
    (tmp_path / "link").symlink_to(path)

    code = main(["-f", str(path), option, str(tmp_path / "link")])

    assert code == 2
    assert path.read_text() == "http://host.test/\n"
    assert f"{option} {tmp_path / 'link'} would overwrite the URLs" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "other"), list(permutations(WRITTEN, 2)))
@pytest.mark.parametrize("is_there", [True, False], ids=["there", "new"])
def test_no_output_is_written_over_another(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    option: str,
    other: str,
    is_there: bool,
):
    """Both options are named, and what there was stays as it was."""
    path = tmp_path / "both"
    if is_there:
        path.write_bytes(b"of an earlier run")
    again = f"{tmp_path}/./both"

    code = main([option, str(path), other, again, "http://host.test/"])

    assert code == 2
    error = capsys.readouterr().err
    assert "would overwrite the file of" in error
    assert option in error
    assert other in error
    assert path.exists() is is_there
    assert not is_there or path.read_bytes() == b"of an earlier run"


def test_nothing_is_written_over_the_journal(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """What it has of an earlier run is there afterwards, under each of its names."""
    path = tmp_path / "run.db"
    assert main([server.url("/1"), "-q", "--journal", str(path)]) == 0
    (tmp_path / "link").symlink_to(path)

    for name in ("run.db", "link", "run.db-wal"):
        argv = [server.url("/1"), "--journal", str(path), "--jsonl", str(tmp_path / name)]
        assert main(argv) == 2

    with sqlite3.connect(path) as journal:
        assert journal.execute("SELECT count(*) FROM results").fetchone() == (1,)
    journal.close()
    assert capsys.readouterr().err.count("would overwrite") == 3


def test_two_outputs_may_go_to_what_is_no_file(server: LoopbackServer):
    """It keeps nothing that could be overwritten."""
    null = "/dev/null"

    assert main([server.url(), "-q", "--jsonl", null, "--report", null]) == 0


def test_a_report_is_not_written_over_a_file_that_was_fetched(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """The file is what was asked for first; the report is named as missing."""
    report = tmp_path / "page"

    code = main([server.url("/page"), "-q", "-o", str(tmp_path), "--report", str(report)])

    assert code == 1
    assert report.read_bytes() == b"body"
    assert f"--report {report} would overwrite a file that was fetched" in capsys.readouterr().err


@pytest.mark.extras
def test_a_table_is_not_written_over_a_file_that_was_fetched(
    server: LoopbackServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """The file is what was asked for first."""
    pytest.importorskip("pyarrow")
    table = tmp_path / "page"

    code = main([server.url("/page"), "-q", "-o", str(tmp_path), "--parquet", str(table)])

    assert code == 1
    assert table.read_bytes() == b"body"
    assert f"--parquet {table} would overwrite a file that was fetched" in capsys.readouterr().err


@pytest.mark.parametrize("exists", ["overwrite", "refresh"])
@pytest.mark.parametrize("option", ["--jsonl", "--journal"])
@pytest.mark.parametrize("name", ["downloads/page", "downloads/link", "link"])
def test_what_is_written_meanwhile_is_not_where_fetched_files_replace_others(
    server: LoopbackServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    exists: str,
    option: str,
    name: str,
):
    """It is refused before anything is sent or opened: a URL may have its name."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to(folder / "page")
    path = tmp_path / name

    code = main([server.url("/page"), "-o", f"{folder}/.", "--exists", exists, option, str(path)])

    assert code == 2
    assert f"{option} {path} is in the folder of --output" in capsys.readouterr().err
    assert not server.requests
    assert sorted(each.name for each in folder.iterdir()) == ["link"]


@pytest.mark.parametrize("exists", ["skip", "rename"])
def test_what_is_written_meanwhile_may_be_where_fetched_files_replace_nothing(
    server: LoopbackServer, tmp_path: Path, exists: str
):
    """It is whole in the end, although a URL has its name."""
    lines = tmp_path / "page"
    argv = [server.url("/page"), "-q", "-o", str(tmp_path), "--exists", exists]

    assert main([*argv, "--jsonl", str(lines)]) == 0

    assert json.loads(lines.read_text())["url"] == server.url("/page")


@pytest.mark.parametrize("exists", ["overwrite", "refresh"])
def test_what_is_written_elsewhere_or_at_the_end_does_not_stand_in_the_way(
    server: LoopbackServer, tmp_path: Path, exists: str
):
    """The report is compared with the fetched files."""
    folder, lines = tmp_path / "downloads", tmp_path / "lines"
    folder.mkdir()
    argv = [server.url("/page"), "-q", "-o", str(folder), "--exists", exists]

    code = main([*argv, "--jsonl", str(lines), "--report", f"{folder}/report.html"])

    assert code == 0
    assert json.loads(lines.read_text())["url"] == server.url("/page")
    assert {"page", "report.html"} <= {each.name for each in folder.iterdir()}
