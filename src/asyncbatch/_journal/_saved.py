"""
Bodies that went to files: whether the file of a kept result is at the path of this run.

A journal keeps the path, the size and the time of such a file, and not its content.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from asyncbatch._files import Files, has_checksum, look_for
from asyncbatch._values._checksum import checksum_of
from asyncbatch._values._folder import Folder, is_folder
from asyncbatch._values._request import UNSET, Request, Unset


class SavedFile(NamedTuple):
    """The file of a body, as a record names it."""

    path: str
    size: int
    resumed_from: int | None
    checksum: str | None
    """The checksum that the request asked for."""
    modified: int | None = None
    """When its content was written, in nanoseconds since 1970; `None` if it was gone already."""


def saved_in(result: Any) -> SavedFile | None:
    """Return what is kept of a result whose body is in a file."""
    if result.path is None:
        return None
    asked = result.request.checksum
    path = os.path.abspath(result.path)  # noqa: PTH100  # `resolve` follows links
    try:
        modified = os.lstat(path).st_mtime_ns
    except OSError:
        modified = None
    return SavedFile(path, result.size, result.resumed_from, asked, modified)


def names_file(item: object) -> bool:
    """Whether a request has a `to` or a `checksum`."""
    return isinstance(item, Request) and not (item.to is UNSET and item.checksum is None)


def destination_of(item: object, files: Files) -> Any:
    """Return where the body of a request goes in this run; `None`: into memory."""
    if isinstance(item, Request) and not isinstance(item.to, Unset):
        return item.to
    return files.to


def place_of(saved: SavedFile, item: object, to: Any) -> Path | None:
    """
    Return the path of a kept file as this run names it; `None` if it is not there as it was.

    Args:
        saved: The file.
        item: The request.
        to: Where its body goes in this run: a path or a folder.
    """
    checksum = item.checksum if isinstance(item, Request) else None
    place = _place_in(to, Path(saved.path))
    if place is None or saved.checksum != checksum:
        return None
    try:
        found = look_for(saved.path)
    except OSError:
        return None
    if found is None or found.st_size != saved.size:
        return None
    if found.st_mtime_ns == saved.modified:
        return place
    # Another file of the same size may have taken its place.
    is_same = checksum is not None and has_checksum(Path(saved.path), checksum_of(checksum))
    return place if is_same else None


def _place_in(to: Any, path: Path) -> Path | None:
    """Return an absolute path as it is named by where a body goes; `None` if it is elsewhere."""
    if isinstance(to, Folder):
        return to.path / path.name if path.parent == _absolute(to.path) else None
    place = _absolute(to)
    if path.parent == place and (is_folder(to) or place.is_dir()):
        return Path(to) / path.name
    return Path(to) if path == place and not is_folder(to) else None


def _absolute(path: Any) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100  # `resolve` follows links
