"""Files that have no name until they are complete."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncbatch._files import _unnamed
from asyncbatch._files._unnamed import OpenFolder, OpenFolders, UnnamedFile, close_files


@pytest.fixture
def folders() -> Iterator[OpenFolders]:
    made = OpenFolders()
    yield made
    made.close()


@pytest.fixture
def folder(folders: OpenFolders, tmp_path: Path) -> OpenFolder:
    found = folders.get(str(tmp_path))
    if found is None:
        pytest.skip("this system has no such files")
    return found


@pytest.fixture
def file(folder: OpenFolder) -> Iterator[UnnamedFile]:
    found = folder.open_unnamed()
    if found is None:
        pytest.skip("this file system has no such files")
    yield found
    close_files([found])


def test_a_file_has_its_name_once_it_is_complete(file: UnnamedFile, tmp_path: Path) -> None:
    """And nothing is there before."""
    file.write(b"abc")
    before = list(tmp_path.iterdir())
    file.give_name("x")

    assert before == []
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == b"abc"


@pytest.mark.parametrize("is_link", [False, True])
def test_nothing_is_replaced_and_no_link_is_followed(
    file: UnnamedFile, tmp_path: Path, is_link: bool
) -> None:
    """Whatever has the name."""
    if is_link:
        (tmp_path / "x").symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        file.give_name("x")

    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert is_link or (tmp_path / "x").read_bytes() == b"old"


def test_the_mode_is_that_of_the_umask(folder: OpenFolder) -> None:
    """As for every file that a program makes."""
    before = os.umask(0o027)
    try:
        file = folder.open_unnamed()
    finally:
        os.umask(before)
    if file is None:
        pytest.skip("this file system has no such files")
    mode = os.fstat(file.fd).st_mode
    close_files([file])

    assert stat.S_IMODE(mode) == 0o640


def test_what_a_system_takes_in_pieces_is_written_as_a_whole(
    file: UnnamedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take less than it is given."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, content: write(fd, bytes(content)[:2]))
    file.write(b"abcde")
    file.give_name("x")

    assert (tmp_path / "x").read_bytes() == b"abcde"


def test_a_system_that_takes_nothing_is_an_error(
    file: UnnamedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no loop without end."""
    monkeypatch.setattr(os, "write", lambda *_: 0)
    with pytest.raises(OSError, match=os.strerror(5)):
        file.write(b"abcde")


def test_a_file_stays_in_the_folder_that_was_opened(folders: OpenFolders, tmp_path: Path) -> None:
    """Whatever has taken its place meanwhile: it may be on another file system."""
    path, moved = tmp_path / "folder", tmp_path / "moved"
    folder = folders.get(str(path))
    file = None if folder is None else folder.open_unnamed()
    if folder is None or file is None:
        pytest.skip("this file system has no such files")
    path.rename(moved)
    path.mkdir()
    file.give_name("x")
    close_files([file])

    assert folder.has("x")
    assert not list(path.iterdir())
    assert [each.name for each in moved.iterdir()] == ["x"]


def test_files_are_closed_in_few_calls_and_nothing_between_them_is(
    folder: OpenFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call for each row of descriptors; others may be anybody's."""
    ranges: list[tuple[int, int]] = []
    close_range = os.closerange

    def noted(first: int, end: int) -> None:
        ranges.append((first, end))
        close_range(first, end)

    monkeypatch.setattr(os, "closerange", noted)
    files = [folder.open_unnamed() for _ in range(2)]
    between = os.dup(folder.fd)
    files += [folder.open_unnamed() for _ in range(3)]
    made = [file for file in files if file is not None]
    close_files(made[::-1])
    close_files([])
    if len(made) < len(files):
        os.close(between)
        pytest.skip("this file system has no such files")

    assert {fd for first, end in ranges for fd in range(first, end)} == {file.fd for file in made}
    assert len(ranges) < len(made)
    os.fstat(between)
    os.close(between)
    for file in made:
        with pytest.raises(OSError, match="descriptor"):
            os.fstat(file.fd)


def test_a_file_is_of_the_device_of_its_folder(file: UnnamedFile, tmp_path: Path) -> None:
    """Files of one device are brought to the disk together."""
    assert file.device == tmp_path.stat().st_dev == os.fstat(file.fd).st_dev


def test_a_name_is_looked_up_in_the_folder(
    folder: OpenFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links count; if it cannot be looked up, something may be there."""
    (tmp_path / "link").symlink_to("nowhere")
    found = folder.has("link"), folder.has("none")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "lstat", refuse)

    assert found == (True, False)
    assert folder.has("none")


def test_folders_are_opened_once(folders: OpenFolders, folder: OpenFolder, tmp_path: Path) -> None:
    """And closed together."""
    assert folders.get(str(tmp_path)) is folder
    folders.close()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(folder.fd)


def test_a_folder_that_is_not_there_is_made(
    folders: OpenFolders, folder: OpenFolder, tmp_path: Path
) -> None:
    """With those above it."""
    made = folders.get(str(tmp_path / "new" / "folder"))

    assert made is not None
    assert (tmp_path / "new" / "folder").is_dir()


def test_where_there_are_none_nothing_is_opened(
    folders: OpenFolders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In what is no folder, on another system, and without a way to give a name."""
    (tmp_path / "file").write_bytes(b"")
    no_folder = folders.get(str(tmp_path / "file"))
    below = folders.get(str(tmp_path / "file" / "below"))
    opened: list[object] = []
    for name, value in (("_TEMPORARY", 0), ("_DESCRIPTORS", str(tmp_path / "none"))):
        with monkeypatch.context() as patch:
            patch.setattr(_unnamed, name, value)
            _unnamed.are_known.cache_clear()
            opened.append(folders.get(str(tmp_path)))
    _unnamed.are_known.cache_clear()

    assert no_folder is below is None
    assert opened == [None, None]


def test_a_file_system_without_such_files_is_no_error(
    folder: OpenFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of files with names finds out whether it is one."""

    def refuse(*_: object, **__: object) -> int:
        raise OSError(95, "not supported")

    monkeypatch.setattr(os, "open", refuse)

    assert folder.open_unnamed() is None


def test_a_folder_that_cannot_be_used_is_closed(
    folders: OpenFolders, folder: OpenFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server has gone, say."""
    opened: list[int] = []

    def refuse(fd: int) -> os.stat_result:
        opened.append(fd)
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    (tmp_path / "other").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", refuse)
        with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
            folders.get(str(tmp_path / "other"))

    [fd] = opened
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(fd)


def test_what_interrupts_the_program_is_raised_when_all_folders_are_closed(
    folders: OpenFolders, folder: OpenFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop may be what closes them, and so Ctrl-C may come."""
    other = folders.get(str(tmp_path / "other"))
    assert other is not None
    close = os.close

    def interrupted(fd: int) -> None:
        close(fd)
        if fd == folder.fd:
            raise KeyboardInterrupt

    monkeypatch.setattr(_unnamed.os, "close", interrupted)
    with pytest.raises(KeyboardInterrupt):
        folders.close()

    for each in (folder, other):
        with pytest.raises(OSError, match="descriptor"):
            os.fstat(each.fd)
