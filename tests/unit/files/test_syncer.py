"""`Syncer`: files that are brought to the disk together, or each by itself."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from asyncbatch._files import _syncer
from asyncbatch._files._syncer import SINGLE_SECONDS, SINGLE_TIMES, SLOW_SECONDS, Syncer


class File:
    """A file as far as it is synced."""

    def __init__(self, fd: int, device: int = 1) -> None:
        self.fd = fd
        self.device = device


class Disk:
    """Notes the calls of the kernel, and fails as it is told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.now = 0.0
        self.seconds = 0.0
        self.is_safe = True
        self.error: OSError | None = None
        self.broken: set[int] = set()

    def syncfs(self, fd: int) -> None:
        self.calls.append(("syncfs", fd))
        self.now += self.seconds
        if self.error is not None:
            raise self.error

    def fsync(self, fd: int) -> None:
        self.calls.append(("fsync", fd))
        if fd in self.broken:
            raise OSError(errno.EIO, "broken")

    def write_back(self, fd: int, *_: int) -> None:
        self.calls.append(("begin", fd))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(_syncer, "syncfs", made.syncfs)
    monkeypatch.setattr(_syncer, "is_whole_synced", lambda _: made.is_safe)
    monkeypatch.setattr(_syncer, "start_writing_back", made.write_back)
    monkeypatch.setattr(os, "fsync", made.fsync)
    return made


def synced(syncer: Syncer, *files: Any) -> list[OSError | None]:
    return syncer.sync(files)


def syncer_of(disk: Disk) -> Syncer:
    return Syncer(lambda: disk.now)


def test_files_of_one_file_system_take_one_call(disk: Disk) -> None:
    """By the first, which was open before any other was written."""
    assert synced(syncer_of(disk), File(3), File(4), File(5)) == [None] * 3
    assert disk.calls == [("syncfs", 3)]


def test_a_single_file_is_synced_by_itself(disk: Disk) -> None:
    """No other program's data are waited for; and of none, nothing is."""
    assert synced(syncer_of(disk), File(3)) == [None]
    assert synced(syncer_of(disk)) == []
    assert disk.calls == [("fsync", 3)]


def test_each_file_system_is_synced(disk: Disk) -> None:
    """A file that is alone on its own is synced by itself."""
    files = File(3, 1), File(4, 2), File(5, 1), File(6, 2), File(7, 3)

    assert synced(syncer_of(disk), *files) == [None] * 5
    assert disk.calls == [("syncfs", 3), ("syncfs", 4), ("fsync", 7)]


def test_where_it_is_not_safe_each_is_synced_by_itself(disk: Disk) -> None:
    """All are on their way to the disk before one is waited for."""
    disk.is_safe = False

    assert synced(syncer_of(disk), File(3), File(4)) == [None, None]
    assert disk.calls == [("begin", 3), ("begin", 4), ("fsync", 3), ("fsync", 4)]


def test_after_an_error_each_file_has_an_outcome_of_its_own(disk: Disk) -> None:
    """An error of the file system says nothing about whose file it was."""
    disk.error = OSError(errno.EIO, "somewhere")
    disk.broken = {4}
    first, second, third = synced(syncer_of(disk), File(3), File(4), File(5))

    assert first is third is None
    assert second is not None
    assert second.errno == errno.EIO
    assert [call for call in disk.calls if call[0] == "fsync"] == [
        ("fsync", 3),
        ("fsync", 4),
        ("fsync", 5),
    ]


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("seconds", [SLOW_SECONDS + 0.1, 100.0])
def test_after_a_slow_call_each_is_synced_by_itself_for_a_while(
    disk: Disk, seconds: float, fails: bool
) -> None:
    """What other programs write does not hold these files up again and again."""
    syncer = syncer_of(disk)
    disk.seconds = seconds
    disk.error = OSError(errno.EIO, "somewhere") if fails else None
    synced(syncer, File(3), File(4))
    disk.calls.clear()
    disk.now += max(SINGLE_SECONDS, SINGLE_TIMES * seconds) - 1
    synced(syncer, File(3), File(4))
    meanwhile = list(disk.calls)
    disk.calls.clear()
    disk.now += 2
    synced(syncer, File(3), File(4))

    assert ("fsync", 4) in meanwhile
    assert ("syncfs", 3) not in meanwhile
    assert ("syncfs", 3) in disk.calls


def test_a_call_that_is_not_slow_is_repeated(disk: Disk) -> None:
    """As usual."""
    syncer = syncer_of(disk)
    disk.seconds = SLOW_SECONDS - 0.1
    for _ in range(2):
        synced(syncer, File(3), File(4))

    assert disk.calls == [("syncfs", 3)] * 2


@pytest.fixture
def fresh_libc() -> Any:
    """Have the C library looked for anew, and once more afterwards."""
    _syncer._libc.cache_clear()
    yield
    _syncer._libc.cache_clear()


def system(release: str) -> Any:
    return mock.patch.object(os, "uname", return_value=mock.Mock(release=release))


def answers_of(fd: int) -> bool:
    _syncer._libc.cache_clear()
    return _syncer.is_whole_synced(fd)


class Library:
    """A C library whose calls return what they are told to, and write a type."""

    def __init__(self, kind: int = 0xEF53, statfs: int = 0, sync: int = 0) -> None:
        self._kind = kind
        self._statfs = statfs
        self.syncfs = mock.Mock(return_value=sync)
        self.fstatfs = mock.Mock(side_effect=self._fstatfs)

    def _fstatfs(self, _: int, found: Any) -> int:
        found[:4] = self._kind.to_bytes(4, "little")
        return self._statfs


@pytest.mark.usefixtures("fresh_libc")
@pytest.mark.parametrize(
    ("release", "library", "is_safe"),
    [
        pytest.param("5.8.0-rc1", Library(), True, id="the oldest that reports errors"),
        pytest.param("6.18.44-fc", Library(0x9123683E), True, id="btrfs"),
        pytest.param("10.0", Library(0x58465342), True, id="xfs"),
        pytest.param("5.7.19", Library(), False, id="hides errors"),
        pytest.param("4.4.0", Library(), False, id="much older"),
        pytest.param("unknown", Library(), False, id="without a version"),
        pytest.param("6.1", Library(0x794C7630), False, id="overlayfs"),
        pytest.param("6.1", Library(0x6969), False, id="nfs"),
        pytest.param("6.1", Library(0x65735546), False, id="fuse"),
        pytest.param("6.1", Library(statfs=-1), False, id="a type that is not told"),
        pytest.param("6.1", object(), False, id="a library without it"),
    ],
)
@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_it_is_relied_on_only_where_it_reports_all_errors(
    monkeypatch: pytest.MonkeyPatch, platform: str, release: str, library: Any, is_safe: bool
) -> None:
    """On Linux since 5.8, on file systems that are the last to write."""
    monkeypatch.setattr(_syncer.sys, "platform", platform)
    monkeypatch.setattr(_syncer.sys, "byteorder", "little")
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: library)
    with system(release):
        assert answers_of(0) == (is_safe and platform == "linux")


@pytest.mark.usefixtures("fresh_libc")
@pytest.mark.parametrize(
    ("library", "is_so"),
    [
        pytest.param(Library(0x01021994), True, id="tmpfs"),
        pytest.param(Library(0x858458F6), False, id="ramfs, which is not bounded"),
        pytest.param(Library(), False, id="ext4"),
        pytest.param(Library(0x01021994, statfs=-1), False, id="a type that is not told"),
        pytest.param(object(), False, id="a library without it"),
    ],
)
def test_only_tmpfs_is_in_memory(
    monkeypatch: pytest.MonkeyPatch, library: Any, is_so: bool
) -> None:
    """As far as the system tells."""
    monkeypatch.setattr(_syncer.sys, "platform", "linux")
    monkeypatch.setattr(_syncer.sys, "byteorder", "little")
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: library)
    with system("6.1"):
        assert _syncer.is_in_memory(0) == is_so


@pytest.mark.usefixtures("fresh_libc")
def test_machines_of_the_other_byte_order_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The type of a file system lies elsewhere there."""
    monkeypatch.setattr(_syncer.sys, "platform", "linux")
    monkeypatch.setattr(_syncer.sys, "byteorder", "big")
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: Library())
    with system("6.1"):
        assert not answers_of(0)


@pytest.mark.usefixtures("fresh_libc")
def test_an_error_of_the_call_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its number."""
    monkeypatch.setattr(_syncer.sys, "platform", "linux")
    monkeypatch.setattr(_syncer.sys, "byteorder", "little")
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: Library(sync=-1))
    monkeypatch.setattr("ctypes.get_errno", lambda: errno.ENOSPC)
    with system("6.1"), pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        _syncer.syncfs(0)


@pytest.mark.skipif(sys.platform != "linux", reason="not on this system")
def test_the_calls_of_this_system_are_found(tmp_path: Path) -> None:
    """Whatever they say about its file system, nothing else fails."""
    with (tmp_path / "x").open("wb") as file:
        file.write(b"abc")
        file.flush()
        if _syncer.is_whole_synced(file.fileno()):
            _syncer.syncfs(file.fileno())
            with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
                _syncer.syncfs(-1)

    assert not _syncer.is_whole_synced(-1)


def test_the_library_of_foreign_functions_is_imported_late() -> None:
    """`import asyncbatch` takes no longer for it."""
    code = "import asyncbatch, sys; print('ctypes' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "False"
