"""
The lock of a journal: one batch writes to it at a time. A data set has such a lock too.

It is a lock of the operating system on a file beside the journal, so it ends with its process, even
by kill -9. It is not on the journal itself, because closing that file a second time in a process
would release the locks of SQLite too.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path

from asyncbatch._values._errors import JournalInUse

SUFFIX = "-lock"

# The system's locks do not keep two batches of one process apart.
_held: dict[str, int] = {}
_guard = threading.Lock()


class FileLock:
    """
    A lock that is held from when it is made until `release`.

    Args:
        path: The path of the journal, without symbolic links.
        shown: The path as the caller gave it, for messages.
        use: What the holder does, for messages.

    Raises:
        JournalInUse: If another batch holds it.
        OSError: If the file of the lock cannot be made.
    """

    def __init__(self, path: Path, shown: str, *, use: str = "writes to this journal") -> None:
        self._path = str(path) + SUFFIX
        self._shown = shown
        self._use = use
        with _guard:
            # A child process has a copy of the dictionary, and none of the locks.
            if _held.get(self._path) == os.getpid():
                raise JournalInUse(shown, f"another batch of this program {use}")
            self._descriptor = self._locked()
            _held[self._path] = os.getpid()

    def release(self) -> None:
        """Give the lock up, and remove its file."""
        with _guard:
            if _held.get(self._path) != os.getpid():
                return
            del _held[self._path]
            # Removed while it is locked: a process that has opened it sees that it is gone.
            # The file of another program, after someone has removed this one, is left alone.
            with contextlib.suppress(OSError):
                if _is_at(self._descriptor, self._path):
                    Path(self._path).unlink()
            os.close(self._descriptor)

    def _locked(self) -> int:
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | _NO_FOLLOW, 0o600)
            try:
                if not _try_lock(descriptor):
                    raise JournalInUse(self._shown, self._holder(descriptor))
                if _is_at(descriptor, self._path):
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, b"%d" % os.getpid())
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # the last holder has removed it meanwhile

    def _holder(self, descriptor: int) -> str:
        number = b""
        with contextlib.suppress(OSError):
            number = os.pread(descriptor, 20, 0) if hasattr(os, "pread") else b""
        by = f" (process {int(number)})" if number.isdigit() else ""
        return f"another program{by} {self._use}"


_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), Path(path).stat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        return True
