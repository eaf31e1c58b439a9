"""One program at a time fetches into a folder."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Any

import pytest

from asyncbatch._journal import _lock
from asyncbatch.cluster._folder_lock import NAME, held


def test_it_is_held_once(tmp_path: Path) -> None:
    """A second holder is refused; nothing is left of it."""
    folder = tmp_path / "a" / "out"

    with held(folder) as is_alone:
        with pytest.raises(RuntimeError, match=r"out: another batch of this program fetches into"):
            held(folder).__enter__()
        assert [path.name for path in folder.iterdir()] == [NAME]

    assert is_alone
    assert list(folder.iterdir()) == []
    with held(folder) as is_alone:
        assert is_alone


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other locks")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EROFS])
def test_a_file_system_without_locks_is_used_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The caller knows that others may be there; other errors are its own."""

    def refuse(_: int) -> Any:
        raise OSError(number, "no locks")

    monkeypatch.setattr(_lock, "_try_lock", refuse)
    with held(tmp_path / "out") as is_alone:
        assert not is_alone

    number = errno.EIO
    with pytest.raises(OSError, match="no locks"):
        held(tmp_path / "out").__enter__()


def test_a_folder_that_is_removed_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a call that was refused, and leaves nothing."""
    times = iter(range(99))
    made = Path.mkdir

    def gone(self: Path, *rest: Any, **options: Any) -> None:
        made(self, *rest, **options)
        if next(times, None) is not None:
            self.rmdir()

    monkeypatch.setattr(Path, "mkdir", gone)

    with held(tmp_path / "out") as is_alone:
        assert is_alone
    times = iter(range(100))
    with pytest.raises(FileNotFoundError):
        held(tmp_path / "out").__enter__()
