"""Whether nothing is at a path, told in one call of the kernel that keeps the GIL."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from pathlib import Path

import pytest

from asyncbatch._files import _absence
from asyncbatch._files._absence import is_absent, is_quick

ASK = _absence._is_in_memory.__wrapped__


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the folders of tests for local ones, wherever they are."""
    monkeypatch.setattr(_absence, "is_whole_synced", lambda _: True)
    _absence._is_local.cache_clear()


@pytest.fixture
def is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask folders themselves, which no other test does."""
    monkeypatch.setattr(_absence, "_is_in_memory", functools.cache(ASK))


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="calls of Linux")


@needs_linux
@pytest.mark.parametrize("name", ["a", "ä €", "a\udcff"])
def test_nothing_is_at_a_path(tmp_path: Path, name: str) -> None:
    """A name in a folder that has no such file."""
    assert is_absent(str(tmp_path / name), str(tmp_path))


@pytest.mark.parametrize("kind", ["file", "folder", "link", "link to nothing"])
def test_something_is_at_a_path(tmp_path: Path, kind: str) -> None:
    """Whatever it is, and a link counts even if it leads nowhere."""
    path = tmp_path / "a"
    if kind == "file":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path if kind == "link" else tmp_path / "b")
    assert not is_absent(str(path), str(tmp_path))


@pytest.mark.parametrize("name", ["file/a", "a" * 256, "a\0b", "loop/a"])
def test_paths_that_are_in_error_are_left_to_others(tmp_path: Path, name: str) -> None:
    """Only that there is no such file is told: any other error has a call that raises it."""
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "b").touch()
    assert not is_absent(f"{tmp_path}/{name}", str(tmp_path))


@needs_linux
def test_a_name_is_looked_up_in_a_folder_that_is_open(tmp_path: Path) -> None:
    """Where it is now, whatever has taken its place."""
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "x").touch()
    fd = os.open(folder, os.O_PATH)
    folder.rename(tmp_path / "b")
    folder.mkdir()

    assert not is_absent("x", str(folder), fd)
    assert is_absent("y", str(folder), fd)
    os.close(fd)


@needs_linux
def test_a_folder_is_looked_at_again_until_it_is_there(tmp_path: Path) -> None:
    """A batch makes its folder with its first files."""
    folder = tmp_path / "new"
    assert not is_absent(str(folder / "a"), str(folder))
    folder.mkdir()
    assert is_absent(str(folder / "a"), str(folder))


def test_folders_on_other_machines_are_left_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their answer may take long, and no thread could run meanwhile."""
    monkeypatch.setattr(_absence, "is_whole_synced", lambda _: False)
    assert not is_absent(str(tmp_path / "a"), str(tmp_path))


def test_a_folder_is_quick_if_it_is_there_and_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_in_memory: None
) -> None:
    """It is asked once it is there; a batch makes its folder with its first files."""
    asked: list[int] = []
    monkeypatch.setattr(_absence, "is_in_memory", lambda fd: not asked.append(fd))
    folder = tmp_path / "new"
    before = is_quick(str(folder))
    folder.mkdir()

    assert not before
    assert [is_quick(str(folder)) for _ in range(2)] == [sys.platform == "linux"] * 2
    assert len(asked) == (sys.platform == "linux")


def test_a_folder_on_a_disk_is_not_quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_in_memory: None
) -> None:
    """Nor is any on another system."""
    monkeypatch.setattr(_absence, "is_in_memory", lambda _: False)
    (tmp_path / "a").mkdir()
    on_disk = is_quick(str(tmp_path))
    monkeypatch.setattr(_absence, "is_in_memory", lambda _: True)
    monkeypatch.setattr(sys, "platform", "darwin")
    elsewhere = is_quick(str(tmp_path / "a"))
    monkeypatch.undo()

    assert (on_disk, elsewhere) == (False, False)


def test_other_systems_have_no_such_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is told there, and nothing fails."""
    monkeypatch.setattr(sys, "platform", "darwin")
    _absence._look.cache_clear()
    try:
        assert not is_absent(str(tmp_path / "a"), str(tmp_path))
    finally:
        monkeypatch.undo()
        _absence._look.cache_clear()


@needs_linux
def test_a_library_without_the_call_is_as_another_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of C that is linked statically."""
    monkeypatch.setattr(ctypes, "PyDLL", lambda *_, **__: object())
    _absence._look.cache_clear()
    try:
        assert not is_absent(str(tmp_path / "a"), str(tmp_path))
    finally:
        monkeypatch.undo()
        _absence._look.cache_clear()


@needs_linux
def test_no_descriptor_is_left(tmp_path: Path) -> None:
    """The folder is opened once, and closed."""
    descriptors = Path("/proc/self/fd")
    before = len([*descriptors.iterdir()])
    assert is_absent(str(tmp_path / "a"), str(tmp_path))
    assert len([*descriptors.iterdir()]) == before
