"""Files of tables: written as the results come, and whole or not there."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from asyncbatch import Result, Results
from asyncbatch._results import _table_file
from asyncbatch._results._arrow import library
from asyncbatch._results._table_file import JsonLinesFile
from asyncbatch.report import Report
from asyncbatch.testing import success
from tests.tables import BEGAN, every_kind, tagged


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_results_are_written_as_lines(tmp_path: Path) -> None:
    """One for each, and nothing is left beside the file."""
    path = tmp_path / "out.jsonl"
    results = Results(every_kind(), duration=1.0)

    results.to_jsonl(path)

    assert [line["error"] for line in lines_of(path)] == [r["error"] for r in results.to_dicts()]
    assert names_in(tmp_path) == ["out.jsonl"]


def test_tags_are_of_one_type_in_results_and_their_own_in_a_stream(tmp_path: Path) -> None:
    """A stream does not know the tags to come."""
    results = Results(tagged([1, "a", (2,)]), duration=1.0)

    results.to_jsonl(tmp_path / "results")
    JsonLinesFile(tmp_path / "stream").write_all(results)

    assert [line["tag"] for line in lines_of(tmp_path / "results")] == ["1", "'a'", "(2,)"]
    assert [line["tag"] for line in lines_of(tmp_path / "stream")] == [1, "a", "(2,)"]


@pytest.mark.parametrize("most", ["MOST_ROWS", "MOST_BYTES"])
def test_no_more_is_held_than_the_bounds_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: str
) -> None:
    """Neither of results nor of bytes: the rest is in the file already."""
    monkeypatch.setattr(_table_file, most, 10)
    path = tmp_path / "out.jsonl"
    file = JsonLinesFile(path)
    file.open()

    for place in range(25):
        if file.add(success(index=place, content=b"x")):
            file.write()

    assert len(file._held) == 5
    assert not path.exists()
    file.close()
    assert len(lines_of(path)) == 25


def broken() -> Iterator[Result]:
    """Yield a result, and then fail."""
    yield success()
    raise RuntimeError("no more")


def test_a_file_that_is_not_whole_is_not_there(tmp_path: Path) -> None:
    """What was there before stays, and nothing is left beside it."""
    path = tmp_path / "out.jsonl"
    path.write_text("earlier")

    with pytest.raises(RuntimeError, match="no more"):
        JsonLinesFile(path).write_all(broken())

    assert path.read_text() == "earlier"
    assert names_in(tmp_path) == ["out.jsonl"]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    """Each writes a file of its own, and the one that ends last is there; others are left alone."""
    path = tmp_path / "out.jsonl"
    (tmp_path / "out.jsonl.part").write_text("somebody's")
    files = [JsonLinesFile(path), JsonLinesFile(path)]

    for file in files:
        file.open()
    for place in range(4):
        files[place % 2].add(success(index=place))
        files[place % 2].write()
    hidden = names_in(tmp_path)
    for file in files:
        file.close()

    assert [name.startswith(".out.jsonl.") for name in hidden] == [True, True, False]
    assert [line["index"] for line in lines_of(path)] == [1, 3]
    assert (tmp_path / "out.jsonl.part").read_text() == "somebody's"
    assert names_in(tmp_path) == ["out.jsonl", "out.jsonl.part"]


def test_a_part_of_somebody_else_is_not_overwritten(tmp_path: Path) -> None:
    """By the results of an interrupted program, whose place is told."""
    (tmp_path / "out.jsonl.part").write_text("somebody's")
    file = JsonLinesFile(tmp_path / "out.jsonl")
    file.open()
    file.add(success())

    file.close(is_whole=False)

    assert (tmp_path / "out.jsonl.part").read_text() == "somebody's"
    assert len(lines_of(file.part)) == 1


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127])
def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path, name: str) -> None:
    """That of the hidden file has less of it; of a part, there is no longer name."""
    Results([success()], duration=1.0).to_jsonl(tmp_path / name)
    file = JsonLinesFile(tmp_path / name)
    file.open()
    file.close(is_whole=False)

    assert len(lines_of(tmp_path / name)) == 1
    assert file.part.exists()


@pytest.mark.skipif(os.name != "posix", reason="there are no such permissions")
@pytest.mark.parametrize("mode", [0o640, 0o666, 0o600])
def test_permissions_are_those_of_the_file_that_is_replaced(tmp_path: Path, mode: int) -> None:
    """As with `open`: from the beginning, and through a link; a new file has those of the umask."""
    path, link, plain = tmp_path / "out", tmp_path / "link", tmp_path / "plain"
    path.touch()
    path.chmod(mode)
    link.symlink_to(path)
    plain.touch()

    file = JsonLinesFile(link)
    file.open()
    begun = stat.S_IMODE(file.part.stat().st_mode)
    file.close()
    Results([], duration=0.0).to_jsonl(tmp_path / "new")

    assert (begun, stat.S_IMODE(path.stat().st_mode)) == (mode, mode)
    assert link.is_symlink()
    assert (tmp_path / "new").stat().st_mode == plain.stat().st_mode


def test_a_path_may_be_of_bytes(tmp_path: Path) -> None:
    """As that of `open`, wherever results are written."""
    results = Results([success(started=BEGAN)], duration=1.0)

    results.to_jsonl(os.fsencode(tmp_path / "lines"))
    results.report(os.fsencode(tmp_path / "page"))
    results.to_har(os.fsencode(tmp_path / "har"))
    Report(results).write(os.fsencode(tmp_path / "again"))

    assert names_in(tmp_path) == ["again", "har", "lines", "page"]


def test_what_there_is_may_be_kept_under_another_name(tmp_path: Path) -> None:
    """For a program that was interrupted: the file is readable, and not taken for whole."""
    file = JsonLinesFile(tmp_path / "out.jsonl")
    file.open()
    file.add(success())

    file.close(is_whole=False)

    assert names_in(tmp_path) == ["out.jsonl.part"]
    assert len(lines_of(file.part)) == 1


def test_a_link_is_followed(tmp_path: Path) -> None:
    """The file that it points to is replaced, and not the link."""
    (tmp_path / "there").mkdir()
    link = tmp_path / "out.jsonl"
    link.symlink_to(tmp_path / "there" / "file")

    Results([success()], duration=1.0).to_jsonl(link)

    assert link.is_symlink()
    assert len(lines_of(tmp_path / "there" / "file")) == 1


@pytest.mark.skipif(os.name != "posix", reason="there are no such pipes")
def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    """It has no place that a file could be moved to."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()

    Results([success()], duration=1.0).to_jsonl(pipe)
    reader.join()

    assert len(found[0].splitlines()) == 1
    assert names_in(tmp_path) == ["pipe"]


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """Of the system's, with the place."""
    with pytest.raises(FileNotFoundError, match=r"nowhere.out\.jsonl'$"):
        Results([], duration=0.0).to_jsonl(tmp_path / "nowhere" / "out.jsonl")


async def test_a_stream_is_written_without_blocking(tmp_path: Path) -> None:
    """A thread opens, writes and closes the file; on an error it removes it."""

    async def results(error: Exception | None = None) -> AsyncIterator[Result]:
        for result in every_kind():
            yield result
        if error is not None:
            raise error

    await JsonLinesFile(tmp_path / "out.jsonl").write_all_async(results())
    with pytest.raises(RuntimeError, match="no more"):
        await JsonLinesFile(tmp_path / "not").write_all_async(results(RuntimeError("no more")))

    assert len(await to_thread.run_sync(lines_of, tmp_path / "out.jsonl")) == len(every_kind())
    assert await to_thread.run_sync(names_in, tmp_path) == ["out.jsonl"]


@pytest.mark.extras
def test_parquet_has_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In row groups of a bounded size, and with the type of the tags."""
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(_table_file, "MOST_ROWS", 10)
    results = Results(tagged(list(range(25))), duration=1.0)

    results.to_parquet(tmp_path / "out.parquet")

    assert parquet.read_table(tmp_path / "out.parquet") == results.to_arrow()
    assert parquet.ParquetFile(tmp_path / "out.parquet").num_row_groups == 3
    assert names_in(tmp_path) == ["out.parquet"]


@pytest.mark.extras
def test_parquet_of_nothing_is_an_empty_table(tmp_path: Path) -> None:
    """With its columns."""
    parquet: Any = pytest.importorskip("pyarrow.parquet")

    Results([], duration=0.0).to_parquet(tmp_path / "out.parquet")

    assert parquet.read_table(tmp_path / "out.parquet").num_rows == 0


@pytest.mark.extras
def test_parquet_that_is_not_whole_is_not_there(tmp_path: Path) -> None:
    """Nor is anything left of it."""
    pytest.importorskip("pyarrow.parquet")

    with pytest.raises(RuntimeError, match="no more"):
        _table_file.ParquetFile(tmp_path / "out.parquet").write_all(broken())

    assert names_in(tmp_path) == []


def test_a_missing_library_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra."""

    def missing(name: str, extra: str) -> Any:
        raise ImportError(f"{name}: asyncbatch[{extra}]")

    monkeypatch.setattr(_table_file, "library", missing)

    with pytest.raises(ImportError, match=r"asyncbatch\[arrow\]"):
        Results([], duration=0.0).to_parquet(tmp_path / "out.parquet")

    assert names_in(tmp_path) == []


def test_a_library_that_lacks_something_itself_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To install the extra again would not help."""
    (tmp_path / "a_library.py").write_text("import something_that_it_needs")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'something_that_it_needs'$"):
        library("a_library", "arrow")


def test_a_file_that_cannot_be_ended_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk; what was there stays."""
    path = tmp_path / "out.jsonl"
    path.write_text("earlier")

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        JsonLinesFile(path).write_all(every_kind())

    assert path.read_text() == "earlier"
    assert names_in(tmp_path) == ["out.jsonl"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_what_is_no_file_stays_also_after_an_error() -> None:
    """There is no part of it to remove."""
    with pytest.raises(OSError, match="No space left"):
        JsonLinesFile("/dev/full").write_all(every_kind())

    assert Path("/dev/full").exists()


async def test_a_long_stream_is_written_as_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more is held than the bounds allow."""
    monkeypatch.setattr(_table_file, "MOST_ROWS", 2)
    path = tmp_path / "out.jsonl"
    file, results = JsonLinesFile(path), every_kind()[:5]
    held: list[int] = []

    async def come() -> AsyncIterator[Result]:
        for result in results:
            held.append(len(file._held))
            yield result

    await file.write_all_async(come())

    assert held == [0, 1, 0, 1, 0]
    assert [line["index"] for line in lines_of(path)] == [each.index for each in results]
