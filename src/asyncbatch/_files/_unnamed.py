"""
A file that has no name until it is complete, on systems that know such files.

It needs no lock, and nothing is left of it if the program ends. All of it blocks and is called in
threads of the disk.
"""

from __future__ import annotations

import errno
import functools
import os
from pathlib import Path

_TEMPORARY = getattr(os, "O_TMPFILE", 0)
_DESCRIPTORS = "/proc/self/fd"
"""Where a file without a name can be given one."""


def open_unnamed(folder: Path | str) -> int | None:
    """Open a file without a name; `None` if it cannot be, for whatever reason."""
    if not _are_known():
        return None
    try:
        return os.open(folder, _TEMPORARY | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    except OSError:
        return None  # the way of files with names reports what is wrong


def give_name(fd: int, path: Path | str) -> None:
    """
    Give a file its name.

    Raises:
        FileExistsError: There is something in its place, which it does not replace.
        OSError: It cannot have it.
    """
    # As the path is absolute, `src_dir_fd` means nothing; only with it is the link followed.
    os.link(f"{_DESCRIPTORS}/{fd}", path, src_dir_fd=fd, follow_symlinks=True)


def write_whole(fd: int, content: bytes) -> None:
    """Write all of a file."""
    written = os.write(fd, content)
    while written < len(content):
        more = os.write(fd, memoryview(content)[written:])
        if not more:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        written += more


@functools.cache
def _are_known() -> bool:
    """Whether the system may know such files; whether a file system does, is seen by opening."""
    return bool(_TEMPORARY) and Path(_DESCRIPTORS).is_dir()
