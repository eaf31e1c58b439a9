"""Files that have no name until they are complete."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from asyncbatch._files import _unnamed
from asyncbatch._files._unnamed import give_name, open_unnamed, write_whole


@pytest.fixture
def fd(tmp_path: Path) -> int:
    found = open_unnamed(tmp_path)
    if found is None:
        pytest.skip("this file system has no such files")
    return found


def test_a_file_has_its_name_once_it_is_complete(fd: int, tmp_path: Path) -> None:
    """And nothing is there before."""
    write_whole(fd, b"abc")
    before = list(tmp_path.iterdir())
    give_name(fd, tmp_path / "x")
    os.close(fd)

    assert before == []
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == b"abc"


@pytest.mark.parametrize("is_link", [False, True])
def test_nothing_is_replaced_and_no_link_is_followed(
    fd: int, tmp_path: Path, is_link: bool
) -> None:
    """Whatever has the name."""
    if is_link:
        (tmp_path / "x").symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        give_name(fd, tmp_path / "x")
    os.close(fd)

    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert is_link or (tmp_path / "x").read_bytes() == b"old"


def test_the_mode_is_that_of_the_umask(tmp_path: Path) -> None:
    """As for every file that a program makes."""
    before = os.umask(0o027)
    try:
        fd = open_unnamed(tmp_path)
    finally:
        os.umask(before)
    if fd is None:
        pytest.skip("this file system has no such files")
    mode = os.fstat(fd).st_mode
    os.close(fd)

    assert stat.S_IMODE(mode) == 0o640


def test_what_a_system_takes_in_pieces_is_written_as_a_whole(
    fd: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take less than it is given."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, content: write(fd, bytes(content)[:2]))
    write_whole(fd, b"abcde")
    give_name(fd, tmp_path / "x")
    os.close(fd)

    assert (tmp_path / "x").read_bytes() == b"abcde"


def test_where_there_are_none_nothing_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that is not there, on another system, and without a way to give a name."""
    missing = open_unnamed(tmp_path / "missing")
    opened: list[int | None] = []
    for name, value in (("_TEMPORARY", 0), ("_DESCRIPTORS", str(tmp_path / "none"))):
        with monkeypatch.context() as patch:
            patch.setattr(_unnamed, name, value)
            _unnamed._are_known.cache_clear()
            opened.append(open_unnamed(tmp_path))
    _unnamed._are_known.cache_clear()

    assert missing is None
    assert opened == [None, None]
