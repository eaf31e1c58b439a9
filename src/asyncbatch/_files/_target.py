"""
Queries about the path of a file, which change nothing.

`look_for` is one call of the kernel, and is called in the event loop too; the others read.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from asyncbatch._values._checksum import Checksum
from asyncbatch._values._sink import Saved

PIECE = 256 * 1024
"""Number of bytes that are read at once."""


def look_for(target: Path | str) -> os.stat_result | None:
    """
    Return the status of a file; `None` if it does not exist.

    Raises:
        OSError: The path is not a regular file.
    """
    try:
        found = os.lstat(target)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, "a link stands in the place of the file", str(target))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(target))
    return found


def has_checksum(path: Path, checksum: Checksum) -> bool:
    """Whether a file exists and has the checksum."""
    found = checksum.new()
    try:
        with path.open("rb", buffering=0) as file:
            while piece := file.read(PIECE):
                found.update(piece)
    except FileNotFoundError:
        return False
    return bool(found.hexdigest() == checksum.digest)


def saved_at(path: Path) -> Saved:
    """Return a file that is there."""
    found = look_for(path)
    return Saved(path, 0 if found is None else found.st_size)
