"""
`Folder`: the folder of a call's files, how they are named, and what happens if they exist.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

import attrs

from asyncbatch._values._checks import as_path, check_flag, check_function

# The function takes a `Request` and an `httpx.Response`. A `Request` knows folders, and not the
# other way round.
NameTypes: TypeAlias = Literal["url", "disposition"] | Callable[..., str]
ExistsTypes: TypeAlias = Literal["skip", "refresh", "overwrite", "error", "rename"]

_NAMES = ("url", "disposition")
_EXISTS = ("skip", "refresh", "overwrite", "error", "rename")


def _to_path(value: str | os.PathLike[str]) -> Path:
    path = as_path(value)
    if not os.fspath(value):
        raise ValueError('path must not be empty; "." is the current folder')
    return path


def _check_name(_: object, __: object, name: object) -> None:
    if isinstance(name, str):
        if name not in _NAMES:
            raise ValueError(f"name must be one of {_NAMES} or a function, not {name!r}")
        return
    check_function("name", name, "'url', 'disposition' or a function that returns a name")


def _check_exists(_: object, __: object, exists: object) -> None:
    if exists not in _EXISTS:
        raise ValueError(f"exists must be one of {_EXISTS}, not {exists!r}")


def _check_resume(_: object, __: object, resume: object) -> None:
    check_flag("resume", resume)


@attrs.frozen
class Folder:
    """
    A folder for the files of a call, given as `to`; a path alone stands for its defaults.

    The folder is created if it is missing. Every file is in it, with any name from a server.
    """

    path: Path = attrs.field(converter=_to_path)
    """The folder: a `str` or a path."""
    name: NameTypes = attrs.field(default="url", kw_only=True, validator=_check_name)
    """
    How a file is named: after the last part of its URL (`"url"`), after the server's
    `Content-Disposition` if there is one (`"disposition"`), or by a function that is called with
    the `Request` and the `httpx.Response`, without its body. Each name is made safe.
    """
    exists: ExistsTypes = attrs.field(default="skip", kw_only=True, validator=_check_exists)
    """
    What happens if the file exists. `"skip"`: nothing is sent; it is a `Success` without a status.
    `"refresh"`: it is fetched if it has changed on the server. `"overwrite"`: it is replaced.
    `"error"`: a failure of kind `disk`. `"rename"`: the new file gets a number.
    """
    resume: bool = attrs.field(default=True, kw_only=True, validator=_check_resume)
    """Whether the `.part` of an earlier run is continued; `False`: the body starts over."""


ToTypes: TypeAlias = str | os.PathLike[str] | Folder
"""What is given as `to`."""


def check_to(to: object) -> None:
    """
    Raise unless `to` is a path or a `Folder`.

    Raises:
        TypeError: If it is neither.
        ValueError: If it is an impossible path.
    """
    if isinstance(to, Folder):
        return
    if not isinstance(to, str | os.PathLike):
        raise TypeError(f"to must be a path or an asyncbatch.Folder, not {to!r}")
    if not os.fspath(to):
        raise ValueError('to must not be empty; "." is the current folder')
    as_path(to)


def is_folder(to: str | os.PathLike[str]) -> bool:
    """Whether a path names a folder by itself: it ends with a separator, or is `.` or `..`."""
    text = os.fspath(to)
    separators = ("/", os.sep, *([os.altsep] if os.altsep else []))
    # The name of `Path(".")` is empty.
    return text.endswith(separators) or Path(text).name in ("", "..")
