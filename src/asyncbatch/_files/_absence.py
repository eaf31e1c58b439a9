"""
What is known of a folder at once: whether it is in memory, and whether nothing is at a path in it.

The second is told without letting go of the GIL.

While threads write files, each call that lets go of it in the event loop waits for one of them to
give it back: two looks for each file of 20 KB were a tenth of the time of a batch.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from asyncbatch._files._syncer import is_in_memory, is_whole_synced

_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
"""Linux's values, which are the same on all machines."""

_F_OK, _ENOENT = os.F_OK, errno.ENOENT

# As `os.fsencode`, without the calls.
_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()


def is_absent(path: str, folder: str, dir_fd: int = _AT_FDCWD) -> bool:
    """
    Whether nothing is at a path, not even a link.

    Args:
        path: Of a file in the folder.
        folder: On a disk of this machine: another one may keep the call waiting, and with it all
            threads of the process.
        dir_fd: The folder, opened, if `path` is a name in it.

    Returns:
        `False` also if this cannot be told.
    """
    found = _look()
    if found is None or "\0" in path:
        return False
    try:
        if not _is_local(folder):
            return False
    except OSError:
        return False  # the folder is not there either
    look, get_errno = found
    result = look(dir_fd, path.encode(_ENCODING, _ERRORS), _F_OK, _AT_SYMLINK_NOFOLLOW)
    return bool(result) and get_errno() == _ENOENT


def is_quick(folder: str) -> bool:
    """Whether a folder is there, and in memory, so that no call waits for a disk."""
    try:
        return sys.platform == "linux" and _is_in_memory(folder)
    except OSError:
        return False


@functools.lru_cache(maxsize=64)
def _is_in_memory(folder: str) -> bool:
    return _tell_of(folder, is_in_memory)


@functools.lru_cache(maxsize=64)
def _is_local(folder: str) -> bool:
    """
    Whether a folder is on a disk of this machine, or in its memory.

    Raises:
        OSError: It cannot be opened.
    """
    return _tell_of(folder, is_whole_synced)


def _tell_of(folder: str, tell: Callable[[int], bool]) -> bool:
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return tell(fd)
    finally:
        os.close(fd)


@functools.cache
def _look() -> tuple[Any, Callable[[], int]] | None:
    """Return `faccessat` and what returns the `errno` of its last call; `None` without them."""
    if sys.platform != "linux":
        return None
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes  # here, since its import takes several milliseconds

        function = ctypes.PyDLL(None, use_errno=True).faccessat
        function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_int)
        function.restype = ctypes.c_int
        return function, ctypes.get_errno
    return None
