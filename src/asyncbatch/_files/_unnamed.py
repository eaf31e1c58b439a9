"""
Files that have no name until they are complete, on systems that have such files.

They need no lock, and disappear if the program ends. All of it blocks, so threads of the disk call
it.
"""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Sequence
from pathlib import Path

_TEMPORARY = getattr(os, "O_TMPFILE", 0)
_DESCRIPTORS = "/proc/self/fd"
"""The folder through which a file without a name gets one."""


class OpenFolder:
    """
    A folder in which files without names are made.

    All operations use the same folder, even if paths are renamed or mounted meanwhile.
    """

    __slots__ = ("device", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.device = os.fstat(fd).st_dev
        """The file system of its files."""

    def has(self, name: str) -> bool:
        """Whether the folder has a file of that name, as far as one look can tell."""
        try:
            os.lstat(name, dir_fd=self.fd)
        except FileNotFoundError:
            return False
        except OSError:
            return True  # opening it will raise
        return True

    def open_unnamed(self) -> UnnamedFile | None:
        """Open a file without a name; `None` if that fails for any reason."""
        try:
            fd = os.open(".", _TEMPORARY | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=self.fd)
        except OSError:
            return None  # the way of files with names reports what is wrong
        return UnnamedFile(self, fd)


class UnnamedFile:
    """An open file without a name."""

    __slots__ = ("_folder", "device", "fd")

    def __init__(self, folder: OpenFolder, fd: int) -> None:
        self._folder = folder
        self.device = folder.device
        """Its file system."""
        self.fd = fd

    def write(self, content: bytes) -> None:
        """Write all of it."""
        written = os.write(self.fd, content)
        while written < len(content):
            more = os.write(self.fd, memoryview(content)[written:])
            if not more:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            written += more

    def give_name(self, name: str) -> None:
        """
        Give it its name.

        Raises:
            FileExistsError: A file of its name exists, and must not be replaced.
            OSError: The name cannot be given.
        """
        folder = self._folder.fd
        # As the first path is absolute, `src_dir_fd` means nothing; only with it is the link of the
        # descriptor followed.
        os.link(
            f"{_DESCRIPTORS}/{self.fd}",
            name,
            src_dir_fd=folder,
            dst_dir_fd=folder,
            follow_symlinks=True,
        )


def close_files(files: Sequence[UnnamedFile]) -> None:
    """
    Close files, with few calls of the kernel; nothing is raised.

    Those that have no name disappear.
    """
    numbers = sorted([file.fd for file in files])
    # The descriptors that were opened in a row mostly follow one another, and each call may wait
    # for the GIL.
    start = 0
    for end in range(1, len(numbers) + 1):
        if end == len(numbers) or numbers[end] != numbers[end - 1] + 1:
            os.closerange(numbers[start], numbers[end - 1] + 1)
            start = end


class OpenFolders:
    """Folders that are opened once for several files, and made if they are not there."""

    def __init__(self) -> None:
        self._folders: dict[str, OpenFolder | None] = {}

    def get(self, path: str) -> OpenFolder | None:
        """Return a folder; `None` if there are no files without names there."""
        try:
            return self._folders[path]
        except KeyError:
            folder = self._folders[path] = _opened(path)
            return folder

    def close(self) -> None:
        """Close all of them; nothing is raised but what interrupts the program."""
        interrupt: BaseException | None = None
        for folder in self._folders.values():
            if folder is not None:
                try:
                    os.close(folder.fd)
                except Exception:  # noqa: S110  # their files are there all the same
                    pass
                except BaseException as raised:
                    interrupt = raised
        self._folders.clear()
        if interrupt is not None:
            raise interrupt


def _opened(path: str) -> OpenFolder | None:
    if not are_known():
        return None
    try:
        try:
            fd = _open_folder(path)
        except FileNotFoundError:
            Path(path).mkdir(parents=True, exist_ok=True)
            fd = _open_folder(path)
    except OSError:
        return None  # as `open_unnamed`
    try:
        return OpenFolder(fd)
    except BaseException:
        os.close(fd)
        raise


def _open_folder(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


@functools.cache
def are_known() -> bool:
    """Whether the system may know such files; whether a file system does, is seen by opening."""
    return bool(_TEMPORARY) and Path(_DESCRIPTORS).is_dir()
