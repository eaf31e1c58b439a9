"""
Bodies that went to files: whether the file of a kept result is at the path of this run.

A journal keeps the path and the size of such a file, and not its content.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, NamedTuple

from asyncbatch._files import Files
from asyncbatch._values._folder import Folder, is_folder
from asyncbatch._values._request import UNSET, Request, Unset


class SavedFile(NamedTuple):
    """The file of a body, as a record names it."""

    path: str
    size: int
    resumed_from: int | None
    checksum: str | None
    """The checksum that the request asked for."""


def saved_in(result: Any) -> SavedFile | None:
    """Return what is kept of a result whose body is in a file."""
    if result.path is None:
        return None
    asked = result.request.checksum
    path = os.path.abspath(result.path)  # noqa: PTH100  # `resolve` follows links
    return SavedFile(path, result.size, result.resumed_from, asked)


def names_file(item: object) -> bool:
    """Whether a request has a `to` or a `checksum`."""
    return isinstance(item, Request) and not (item.to is UNSET and item.checksum is None)


def is_in_place(saved: SavedFile | None, item: object, files: Files) -> bool:
    """Whether the body of a kept success is at the place of this run: its file, or memory."""
    to: Any = files.to
    checksum = None
    if isinstance(item, Request):
        checksum = item.checksum
        if not isinstance(item.to, Unset):
            to = item.to
    if to is None or saved is None:
        return to is None and saved is None
    if saved.checksum != checksum or not _is_at(Path(saved.path), to):
        return False
    try:
        return Path(saved.path).stat().st_size == saved.size
    except OSError:
        return False


def claim(saved: SavedFile, files: Files) -> None:
    """Keep other requests of this run from writing to the file."""
    path = Path(saved.path)
    with contextlib.suppress(ValueError):  # an equal request has claimed it
        files.claim(path.parent, path.name, renames=False)


def _is_at(path: Path, to: Any) -> bool:
    if isinstance(to, Folder):
        return path.parent == Path(os.path.abspath(to.path))  # noqa: PTH100
    place = Path(os.path.abspath(to))  # noqa: PTH100
    return path == place or ((is_folder(to) or place.is_dir()) and path.parent == place)
