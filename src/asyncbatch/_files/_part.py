"""
`Part`: the file that a body is written to until it is complete, and the file beside it.

All of it blocks, so threads of the disk call it. It decides nothing about responses.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import stat
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from asyncbatch._files._names import part_name, resume_name

fcntl: Any
msvcrt: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

# An open file cannot be renamed or removed there.
_IS_WINDOWS = os.name == "nt"
# Absent on Windows, except for O_BINARY.
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_COMMON = _NO_FOLLOW | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
# Opening a pipe that stands in the place of a file would wait for its other end.
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)

_MOST_BESIDE = 64 * 1024
"""Most bytes to read of the file beside a part."""

_LOCKED_BYTE = 2**43
"""Where a part is locked on Windows, where bytes that are locked cannot be read or written."""

_READ = 1024 * 1024
"""Bytes of a part to read at once for its checksum."""

_UNSTARTED = 8 * 1024 * 1024
"""Bytes of a part after which the system is asked to begin to bring them to the disk. Otherwise it
begins when they are synced at the end: 0.6 s for 1 GiB, in which nothing is received."""

_NOWHERE = Path()
"""Where a part is that has never been opened."""

_OPENINGS = 10
"""How often a part is opened again because another program has completed it meanwhile."""


class Part:
    """
    The open and locked part of one file.

    Its methods may be called from several threads. After `close`, they do nothing.
    """

    def __init__(self) -> None:
        # Set by `open`.
        self.path = self._beside = _NOWHERE
        self._fd: int | None = None
        self._lock = threading.Lock()
        self._is_closed = False
        self.size = 0
        """Number of bytes in the part."""
        # How many of them the system was asked to bring to the disk.
        self._started = 0

    @property
    def is_open(self) -> bool:
        """Whether it is open, or may still be opened by another thread."""
        return not self._is_closed

    @property
    def was_opened(self) -> bool:
        """Whether it is or was open."""
        return self.path is not _NOWHERE

    def open(self, target: Path) -> None:
        """
        Open and lock the part of a file; it is made if there is none, and so is its folder.

        Nothing is done if it is open.

        Raises:
            OSError: It cannot be opened, is no regular file, or another program writes it.
        """
        with self._lock:
            if self._is_closed or self._fd is not None:  # its try has been cancelled, or goes on
                return
            self.path = part_of(target)
            self._beside = target.with_name(resume_name(target.name))
            for _ in range(_OPENINGS):
                self._fd = self._try_open()
                if self._fd is not None:
                    return
        raise OSError(errno.EAGAIN, "other programs write it", str(self.path))

    def _try_open(self) -> int | None:
        """Return the opened and locked part; `None` if another program has moved it meanwhile."""
        flags = os.O_RDWR | os.O_CREAT | _COMMON | _NO_WAIT
        try:
            fd = os.open(self.path, flags, 0o666)
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.path, flags, 0o666)
        try:
            opened = os.fstat(fd)
            if not stat.S_ISREG(opened.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(self.path))
            _lock_file(fd, self.path)
            if self._is_at(opened):
                self.size = self._started = os.fstat(fd).st_size
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None

    def _is_at(self, opened: os.stat_result) -> bool:
        """Whether the part is still in its place, and nowhere else."""
        try:
            there = os.lstat(self.path)
        except FileNotFoundError:
            return False  # the program that had the lock has completed the file
        if not os.path.samestat(there, opened):
            return False
        if there.st_nlink > 1:
            self.path.unlink()
            return False
        return True

    def state(self) -> dict[str, Any] | None:
        """Return what `keep` was given for the bytes that are in the part; `None` if unknown."""
        state = read_beside(self._beside)
        if state is not None and state.pop("boot", None) != _boot():
            # Bytes that were not synced may be missing, even if the file has its full size.
            self.size = min(self.size, _last_number(_lines_beside(self._beside)))
        return state

    def keep(self, state: dict[str, Any]) -> None:
        """Record the version that continuing the part needs; call it before the first bytes."""
        with self._lock:
            if self._fd is not None:
                content = json.dumps({**state, "boot": _boot()}).encode()
                write_beside(self._beside, content + b"\n")

    def cut(self, size: int) -> None:
        """Keep the first `size` bytes; with 0, forget what `keep` was given."""
        with self._lock:
            if self._fd is None:
                return
            if size == 0:
                with contextlib.suppress(FileNotFoundError):
                    self._beside.unlink()
            os.ftruncate(self._fd, size)
            self.size = size
            self._started = min(self._started, size)

    def write(self, pieces: Iterable[bytes | memoryview]) -> None:
        """Write pieces to the end of the part."""
        with self._lock:
            if self._fd is None:
                return
            os.lseek(self._fd, self.size, os.SEEK_SET)
            for piece in pieces:
                written = os.write(self._fd, piece)
                self.size += written
                while written < len(piece):
                    more = os.write(self._fd, memoryview(piece)[written:])
                    self.size += more
                    written += more
            if self.size - self._started >= _UNSTARTED:
                start_writing_back(self._fd, self._started, self.size - self._started)
                self._started = self.size

    def feed(self, update: Any) -> None:
        """Pass the bytes of the part to the `update` of a hash."""
        position = 0
        while position < self.size:
            with self._lock:
                if self._fd is None:
                    return
                os.lseek(self._fd, position, os.SEEK_SET)
                piece = os.read(self._fd, min(_READ, self.size - position))
            if not piece:
                raise OSError(errno.EIO, "the file became shorter", str(self.path))
            update(piece)
            position += len(piece)

    def sync(self) -> None:
        """Sync the bytes to the disk, and record their number."""
        with self._lock:
            if self._fd is None or not self.size:
                return
            os.fsync(self._fd)
            with contextlib.suppress(OSError):  # without the note, the bytes are fetched again
                fd = os.open(self._beside, os.O_WRONLY | os.O_APPEND | _COMMON)
                with os.fdopen(fd, "ab") as file:
                    # A line of its own, should the last one have been cut off.
                    file.write(b"\n%d\n" % self.size)

    def complete(self, target: Path, *, replaces: bool) -> None:
        """
        Sync the bytes to the disk, and give the file its name.

        Raises:
            FileExistsError: A file of its name exists, and must not be replaced.
            OSError: It cannot be written, or renamed, or another file has taken its place.
        """
        with self._lock:
            if self._fd is None:
                raise OSError(errno.EBADF, "the part has been closed", str(self.path))
            os.fsync(self._fd)
            if self._is_replaced(self._fd):
                text = "another file has taken the place of the part"
                raise OSError(errno.ESTALE, text, str(self.path))
            if _IS_WINDOWS:
                self._close()
            # Before the file is there: afterwards, it would be left behind if the program ends.
            with contextlib.suppress(FileNotFoundError):
                self._beside.unlink()
            if replaces:
                self.path.replace(target)
            else:
                _rename_to_free(self.path, target)
            self._close()

    def remove(self) -> None:
        """Remove the part and the hidden file beside it."""
        with self._lock:
            is_ours = self._fd is not None and not self._is_replaced(self._fd)
            if _IS_WINDOWS:
                self._close()
            if is_ours:
                for path in (self.path, self._beside):
                    with contextlib.suppress(OSError):
                        path.unlink()
            self._close()

    def _is_replaced(self, fd: int) -> bool:
        """Whether another file stands in its place: a program has removed this one."""
        try:
            return not os.path.samestat(os.lstat(self.path), os.fstat(fd))
        except OSError:
            return False

    def close(self) -> None:
        """Close the part, and unlock it; an empty one is removed."""
        if not self.size:
            self.remove()
        with self._lock:
            self._close()

    def _close(self) -> None:
        self._is_closed = True
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def start_writing_back(fd: int, start: int, length: int) -> None:
    """
    Ask the system to begin to bring bytes of a file to the disk; do not wait for it.

    On Linux, the advice that they are not needed has this effect. They stay in memory, since pages
    that are on their way to the disk are not dropped.
    """
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):  # not every file system takes advice
            os.posix_fadvise(fd, start, length, os.POSIX_FADV_DONTNEED)


def part_of(target: Path) -> Path:
    """Return the path of the part of a file."""
    return target.with_name(part_name(target.name))


def remove_twin(target: Path) -> None:
    """
    Remove the part of a complete file, if both are one file.

    Such a part is left if a program ends while `Part.complete` gives the file its name.
    """
    part = part_of(target)
    with contextlib.suppress(OSError):
        if os.path.samestat(os.lstat(part), os.lstat(target)):
            part.unlink()


def read_beside(path: Path) -> dict[str, Any] | None:
    """Return what `write_beside` has written first; `None` if there is nothing to rely on."""
    first, *_ = _lines_beside(path)
    try:
        state = json.loads(first)
    except (ValueError, RecursionError):
        return None
    return state if isinstance(state, dict) else None


def write_beside(path: Path, content: bytes) -> None:
    """Write a new file, for the owner alone. No link is followed."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _COMMON, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)


def _lines_beside(path: Path) -> list[bytes]:
    """Return the complete lines of a file, and what follows the last one; no link is followed."""
    try:
        fd = os.open(path, os.O_RDONLY | _COMMON | _NO_WAIT)
        with os.fdopen(fd, "rb") as file:
            return file.read(_MOST_BESIDE).split(b"\n")
    except OSError:
        return [b""]


def _rename_to_free(path: Path, target: Path) -> None:
    """Rename `path`, unless there is something in the place of `target`."""
    try:
        os.link(path, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):
        # A file system without hard links: between the two steps, another program may be faster.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        path.rename(target)
    else:
        path.unlink()


def _lock_file(fd: int, path: Path) -> None:
    """Lock a part until it is closed, against other programs and other parts of this one."""
    try:
        if fcntl is not None:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
    except (BlockingIOError, PermissionError):
        raise BlockingIOError(errno.EAGAIN, "another program writes it", str(path)) from None
    except OSError:
        # Some network file systems have no locks.
        return


@functools.cache
def _boot() -> str:
    """Return what differs after each start of the system; "" if that is unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _last_number(lines: list[bytes]) -> int:
    """Return the number on the last complete line; 0 if there is none."""
    numbers = [line for line in lines[1:-1] if line.isdigit()]
    return int(numbers[-1][:18]) if numbers else 0
