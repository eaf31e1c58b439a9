"""
A client that is killed at its n-th step on the disk, in this process or with its own.

Each call by which a thread of the disk changes something is a step. At the one that is chosen the
thread gets no further, and neither does any other: like those of a program that is gone, they
change nothing any more, and what they had open is closed.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import anyio

from asyncbatch._files import _absence, _download, _syncer
from asyncbatch._files._unnamed import OpenFolders, close_files
from tests.behaviour.files.lies import Case
from tests.behaviour.files.test_lying_servers import fetch

STEPS = ("write", "ftruncate", "fsync", "unlink", "link", "replace", "rename", "mkdir", "fdopen")

_DISK = "asyncbatch-disk"


class Killed(BaseException):
    """The thread gets no further."""


def _end_thread() -> NoReturn:
    raise Killed


class Kill:
    """
    Counts the steps of the disk's threads, and kills them at one.

    Args:
        at: Which step is not taken, from 1.
        tears: Whether half of it is taken, if it is one that writes.
        end: What ends the thread, or the process.
    """

    def __init__(
        self, at: int, *, tears: bool = False, end: Callable[[], NoReturn] = _end_thread
    ) -> None:
        self.at = at
        self._end = end
        self.steps: list[str] = []
        self._tears = tears
        self._descriptors: set[int] = set()
        self._lock = threading.Lock()

    @property
    def has_killed(self) -> bool:
        """Whether there were so many steps."""
        return len(self.steps) >= self.at

    @contextlib.contextmanager
    def threads(self) -> Iterator[None]:
        """Watch the threads of the disk, which are to write in any folder."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(_absence, "_is_in_memory", return_value=False))
            for name in STEPS:
                step = self._step(name, getattr(os, name))
                stack.enter_context(mock.patch.object(os, name, step))
            sync = self._step("syncfs", _syncer.syncfs)
            stack.enter_context(mock.patch.object(_syncer, "syncfs", sync))
            stack.enter_context(mock.patch.object(os, "open", self._open(os.open)))
            stack.enter_context(mock.patch.object(os, "close", self._close(os.close)))
            close_range = self._close_range(os.closerange)
            stack.enter_context(mock.patch.object(os, "closerange", close_range))
            yield
        for descriptor in self._descriptors:
            os.close(descriptor)

    def _step(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            if not _is_of_disk():
                return function(*args, **options)
            with self._lock:
                self._count(name, function, args)
                if name == "fdopen":  # the file closes it
                    self._descriptors.discard(args[0])
                return function(*args, **options)

        return step

    def _open(self, function: Callable[..., int]) -> Callable[..., int]:
        def open_(path: Any, flags: int, *args: Any, **options: Any) -> int:
            if not _is_of_disk():
                return function(path, flags, *args, **options)
            with self._lock:
                if flags & os.O_CREAT:
                    self._count("open", function, ())
                elif self.has_killed:
                    raise Killed
                descriptor = function(path, flags, *args, **options)
                self._descriptors.add(descriptor)
                return descriptor

        return open_

    def _close(self, function: Callable[[int], None]) -> Callable[[int], None]:
        def close(descriptor: int) -> None:
            if not _is_of_disk():
                return function(descriptor)
            with self._lock:
                if self.has_killed:
                    raise Killed
                self._descriptors.discard(descriptor)
                return function(descriptor)

        return close

    def _close_range(self, function: Callable[[int, int], None]) -> Callable[[int, int], None]:
        def close_range(first: int, end: int) -> None:
            if not _is_of_disk():
                return function(first, end)
            with self._lock:
                if self.has_killed:
                    raise Killed
                self._descriptors.difference_update(range(first, end))
                return function(first, end)

        return close_range

    def _count(self, name: str, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if self.has_killed:
            raise Killed
        self.steps.append(name)
        if self.has_killed:
            if self._tears and name == "write":
                function(args[0], bytes(args[1])[: len(args[1]) // 2])
            self._end()


def _is_of_disk() -> bool:
    return threading.current_thread().name.startswith(_DISK)


def main(port: int, target: str, at: int) -> None:
    """Fetch a file in a process of its own, which ends at a step."""
    _download.AT_ONCE = 1
    kill = Kill(at, tears=at % 2 == 0, end=lambda: os._exit(9))
    case = Case("", (), attempts=3)
    with kill.threads():
        result = anyio.run(fetch, case, port, Path(target))
    print(result.ok)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))


def knows_unnamed(folder: Path) -> bool:
    """Whether files without names are known in a folder."""
    folders = OpenFolders()
    opened = folders.get(str(folder))
    file = None if opened is None else opened.open_unnamed()
    if file is not None:
        close_files([file])
    folders.close()
    return file is not None
