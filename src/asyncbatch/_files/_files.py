"""
`Files`: makes a `Download` for each request of a batch whose body goes to a file.

It resolves the values of `to`, and refuses a file that another request of the batch has.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from asyncbatch._files._download import Download
from asyncbatch._files._names import numbered, target_key
from asyncbatch._files._naming import Naming
from asyncbatch._values._checksum import Checksum, checksum_of
from asyncbatch._values._folder import Folder, ToTypes, is_folder
from asyncbatch._values._request import Request, Unset


class Files:
    """
    The files of one batch.

    Args:
        to: Where the bodies of requests go that do not say it; `None`: into memory. A path is that
            of a folder, if there may be many requests.
        is_one: Whether the batch has one request only.
    """

    def __init__(self, to: ToTypes | None, *, is_one: bool = False) -> None:
        self.to: Folder | Path | None = None
        if to is not None:
            self.to = _resolved(to, is_one=is_one)
        # The files of the requests so far, by what equal names have in common, with the last number
        # that made another name of it; of a batch of one request, nothing is kept.
        self._taken: dict[str, int] | None = None if is_one else {}
        # Threads of the disk ask for further names.
        self._lock = threading.Lock()
        # What the keys of a folder's files begin with, by its absolute path as it was given.
        self._prefixes: dict[str, str] = {}
        # The last folder that was given as an absolute path, and the same of it.
        self._folder: tuple[Path | None, str] = (None, "")
        # Downloads whose body is being received, in the order of their beginnings.
        self._under_way: dict[Download, None] = {}

    def download_of(self, request: Request | str) -> Download | None:
        """
        Return the download of a request, `None` if its body stays in memory.

        Args:
            request: It, or its URL.

        Raises:
            ValueError: It cannot be written to its file.
        """
        to = self.to
        if isinstance(request, str):
            return None if to is None else self._download(request, to, None)
        if not isinstance(request.to, Unset):
            to = None if request.to is None else _own(request.to)
        checksum = None if request.checksum is None else checksum_of(request.checksum)
        if to is None:
            if checksum is not None:
                raise ValueError("checksum needs a file: give to=")
            return None
        if request.method.upper() in ("HEAD", "CONNECT", "TRACE"):
            raise ValueError(f"to needs a response with content, which {request.method} has not")
        return self._download(request, to, checksum)

    def _download(
        self, request: Request | str, to: Folder | Path, checksum: Checksum | None
    ) -> Download:
        folder = Folder(to.parent) if isinstance(to, Path) else to
        naming = Naming(folder, request, self.claim, to.name if isinstance(to, Path) else None)
        return Download(
            naming,
            request,
            exists=folder.exists,
            resume=folder.resume,
            checksum=checksum,
            under_way=self._under_way,
        )

    def under_way(self) -> list[Download]:
        """Return the files whose bodies are being received."""
        return list(self._under_way)

    # Not keyword-only: CPython 3.11 specialises no call of a function that has such arguments.
    def claim(self, folder: Path, name: str, renames: bool) -> str:
        """
        Return a name for a file in its folder, which no other request of the batch has.

        Args:
            folder: Its folder.
            name: Its name.
            renames: Whether a number makes a name that is taken another one.

        Raises:
            ValueError: Another request has the path.
        """
        taken = self._taken
        if taken is None:
            return name
        with self._lock:
            first = self._key_of(folder, name)
            if first not in taken:
                taken[first] = 0
                return name
            # Counted on from the last number, as there may be thousands of one name.
            key, number = first, taken[first]
            if not renames:
                raise ValueError(
                    f"another request of this batch has the file {str(folder / name)!r}; give "
                    "each its own `to`, or names by Folder(name=...), or Folder(exists='rename')"
                )
            found = name
            while key in taken:
                number += 1
                found = numbered(name, number)
                key = self._key_of(folder, found)
            taken[key] = 0
            taken[first] = number
        return found

    def _key_of(self, folder: Path, name: str) -> str:
        """Return what all spellings of the path of a file have in common."""
        last, prefix = self._folder
        if folder is not last:
            prefix = self._prefix_of(folder)
            if folder.is_absolute():  # otherwise, it is another one in another current folder
                self._folder = folder, prefix
        return prefix + target_key(name)

    def _prefix_of(self, folder: Path) -> str:
        """Return what the keys of a folder's files begin with."""
        given = str(folder) if folder.is_absolute() else _in_current_folder(folder)
        prefix = self._prefixes.get(given)
        if prefix is None:
            # It ends with a separator.
            prefix = target_key(os.path.join(_place_of(given), ""))  # noqa: PTH118
            self._prefixes[given] = prefix
        return prefix


def _in_current_folder(folder: Path) -> str:
    """Return the absolute path of a relative one; links in it are not followed."""
    try:
        return os.path.join(os.getcwd(), folder)  # noqa: PTH109, PTH118  # ten times as fast
    except FileNotFoundError:  # the current folder has been removed
        return str(folder)


def _place_of(path: Path | str) -> str:
    """Return a path as all spellings of it have it, also those through links to folders."""
    try:
        return os.path.realpath(path)
    except OSError:  # the current folder has been removed
        return os.path.normpath(path)


def _resolved(to: ToTypes, *, is_one: bool) -> Folder | Path:
    """Return the folder or file of a call."""
    if isinstance(to, Folder):
        return to
    if is_one and not is_folder(to) and not Path(to).is_dir():
        return Path(to)
    return Folder(to)


def _own(to: ToTypes) -> Folder | Path:
    """Return the folder or file of a request."""
    if isinstance(to, Folder):
        return to
    return Folder(to) if is_folder(to) else Path(to)
