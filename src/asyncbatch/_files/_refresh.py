"""
The hidden file beside a complete file. It names the version of the file, for `exists="refresh"`.

All of it blocks, so threads of the disk call it.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from asyncbatch._files._names import refresh_name
from asyncbatch._files._part import read_beside, write_beside
from asyncbatch._files._versions import Version, state_of, version_from


def refreshable(path: Path, identity: str) -> Version | None:
    """
    Return the version that a file is of; `None` if that is unknown.

    Args:
        path: The file, which may have been changed since.
        identity: That of the URL.
    """
    state = read_beside(_beside(path))
    if state is None or state.get("request") != identity:
        return None
    try:
        if state.get("file") != _look_of(path):
            return None
    except FileNotFoundError:
        return None
    version = version_from(state)
    if version is None or version.is_coded:
        return None
    return version if version.etag or version.last_modified else None


def keep_refresh(path: Path, identity: str, version: Version) -> None:
    """Write down which version a file is of. Without it, the file is fetched again."""
    if not (version.etag or version.last_modified):
        return
    with contextlib.suppress(OSError):
        state = {"request": identity, "file": _look_of(path), **state_of(version)}
        write_beside(_beside(path), json.dumps(state).encode() + b"\n")


def forget_refresh(path: Path) -> None:
    """Remove what is known of a file, before another version takes its place."""
    with contextlib.suppress(FileNotFoundError):
        _beside(path).unlink()


def _beside(path: Path) -> Path:
    return path.parent / refresh_name(path.name)


def _look_of(path: Path) -> list[int]:
    found = path.lstat()
    return [found.st_size, found.st_mtime_ns]
