"""
`Syncer`: syncs the files of a group to the disk.

Where it is safe, one call of the kernel syncs all files of a file system. A file that is synced by
itself costs a write to the journal of the file system, and the wait for it: a file of 20 KB takes
450 to 680 µs by itself, and 113 to 136 µs together with 63 others.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from asyncbatch._files._part import start_writing_back
from asyncbatch._files._unnamed import UnnamedFile

SLOW_SECONDS = 0.5
"""How long the files of a group may take together. All that other programs have written to the file
system is waited for, too."""

SINGLE_SECONDS = 60.0
"""For how long each file is synced by itself after a call that was slow."""

SINGLE_TIMES = 10
"""How many times as long as the slow call, if that is more."""

_REPORTS_ERRORS = (5, 8)
"""The version of Linux since which `syncfs` returns that something could not be written."""

_TMPFS = 0x01021994

_TYPES = frozenset(
    {
        0xEF53,  # ext2, ext3, ext4
        0x58465342,  # xfs
        0x9123683E,  # btrfs
        0xF2F52010,  # f2fs
        _TMPFS,
    }
)
"""The types of file systems that are synced as a whole. One that lies on another file system, or on
another machine, does not hear of all errors."""


class Syncer:
    """
    Brings files to the disk.

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        # Until when each file is synced by itself.
        self._single_until = -math.inf

    def sync(self, files: Sequence[UnnamedFile]) -> list[OSError | None]:
        """Sync files to the disk; return the error of each, in their order."""
        devices: dict[int, list[UnnamedFile]] = {}
        for file in files:
            devices.setdefault(file.device, []).append(file)
        synced = {device: self._sync_together(of_it) for device, of_it in devices.items()}
        single = [file for file in files if not synced[file.device]]
        if len(single) > 1:
            for file in single:
                start_writing_back(file.fd, 0, 0)
        return [None if synced[file.device] else _sync_single(file) for file in files]

    def _sync_together(self, files: Sequence[UnnamedFile]) -> bool:
        """Sync all files of a file system; return whether that succeeded."""
        # The first one has been opened before any of them was written, and therefore hears of all
        # errors since.
        fd, begun = files[0].fd, self._clock()
        if len(files) < 2 or begun < self._single_until or not is_whole_synced(fd):
            return False
        try:
            syncfs(fd)
        except OSError:
            return False  # whose file it was, is found out by syncing each
        finally:
            now = self._clock()
            if now - begun > SLOW_SECONDS:
                self._single_until = now + max(SINGLE_SECONDS, SINGLE_TIMES * (now - begun))
        return True


def _sync_single(file: UnnamedFile) -> OSError | None:
    try:
        os.fsync(file.fd)
    except OSError as error:
        return error
    return None


def syncfs(fd: int) -> None:
    """
    Bring all of a file system to the disk.

    Args:
        fd: A file there, which `is_whole_synced` has been asked about.

    Raises:
        OSError: Something has not been written since the file was opened.
    """
    libc = _libc()
    if libc.syncfs(fd):
        raise _last_error()


def is_whole_synced(fd: int) -> bool:
    """Whether `syncfs` is reliable on the file system of a file."""
    return _type_of(fd) in _TYPES


def is_in_memory(fd: int) -> bool:
    """Whether a file system is in the memory of this machine: no call waits for a disk there."""
    return _type_of(fd) == _TMPFS


def _type_of(fd: int) -> int | None:
    """Return the type of the file system of a file; `None` if it is unknown."""
    libc = _libc()
    if libc is None:
        return None
    import ctypes

    # A `struct statfs`, which begins with the type, is shorter than this.
    found = ctypes.create_string_buffer(512)
    if libc.fstatfs(fd, found):
        return None
    return int.from_bytes(found.raw[:4], "little")


def _last_error() -> OSError:
    import ctypes

    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


@functools.cache
def _libc() -> Any:
    """Return the C library; `None` if this system's `syncfs` is absent, or hides errors."""
    # On machines of the other byte order, the type of a file system lies elsewhere.
    if sys.platform != "linux" or sys.byteorder != "little":
        return None
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if version is None or (int(version[1]), int(version[2])) < _REPORTS_ERRORS:
        return None
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes  # here, since its import takes several milliseconds

        libc = ctypes.CDLL(None, use_errno=True)
        for function in (libc.syncfs, libc.fstatfs):
            function.restype = ctypes.c_int
        libc.syncfs.argtypes = (ctypes.c_int,)
        libc.fstatfs.argtypes = (ctypes.c_int, ctypes.c_char_p)
        return libc
    return None
