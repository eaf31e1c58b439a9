"""
The lock of a data set: one program at a time cuts its requests, and gives its shards to workers.

It is a lock like that of a journal, and ends with its process. On a file system without locks, two
programs do not notice each other. Their files then have different names, and leases protect the
shards.
"""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from asyncbatch import JournalInUse
from asyncbatch._journal._lock import SUFFIX, FileLock

_NAME = ".fetch"
NAME = _NAME + SUFFIX
"""The name of its file, which is there while it is held."""

# A data set that is whole may lie where nothing can be written.
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EROFS, errno.EACCES}
_TRIES = 100


@contextmanager
def held(folder: Path) -> Generator[bool]:
    """
    Hold the lock of a folder, which is made; yield whether there are locks.

    Raises:
        RuntimeError: If another program, or another call of this one, holds it.
        OSError: If the folder cannot be written.
    """
    lock = _lock_in(folder)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()


def _lock_in(folder: Path) -> FileLock | None:
    turn = 0
    while True:
        turn += 1
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return FileLock(folder / _NAME, str(folder), use="fetches into this folder")
        except JournalInUse as error:
            raise RuntimeError(
                f"{folder}: {error.reason}; call again after its end, or give another folder"
            ) from None
        except FileNotFoundError:  # a call that was refused has removed the folder meanwhile
            if turn == _TRIES:
                raise
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return None
