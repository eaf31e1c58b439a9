"""
`Naming`: the path of the file of one request, before and after the head of its response.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from asyncbatch._files._names import (
    name_from_disposition,
    name_from_url,
    numbered,
    part_name,
    safe_name,
)
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._folder import Folder
from asyncbatch._values._request import Request, text_of_url
from asyncbatch._values._sink import Head, SinkFailure


class Claim(Protocol):
    """Reserves a name in a folder for a batch; see `Files.claim`."""

    def __call__(self, folder: Path, name: str, renames: bool, /) -> str: ...


class Naming:
    """
    The path of one file.

    A `Path` is made of it when it is asked for: most files are written and named without one.

    Args:
        folder: Its folder, and how it is named there.
        item: The request, or its URL.
        claim: Reserves the path in the batch.
        name: The name that the request itself gives.

    Raises:
        ValueError: Another request of the batch has the path.
    """

    __slots__ = (
        "_before",
        "_claim",
        "_folder",
        "_item",
        "_name",
        "_number",
        "_path",
        "file_name",
        "folder",
        "of_url",
        "part_name",
        "renames",
        "text",
    )

    def __init__(self, folder: Folder, item: Request | str, claim: Claim, name: str | None) -> None:
        self._folder = folder
        self.folder = str(folder.path)
        """The path of its folder as text."""
        self._before = _before_name(self.folder)
        self._item = item
        self._claim = claim
        self.renames = folder.exists == "rename" and name is None
        """Whether the name gets a number if the file exists."""
        self.of_url = name_from_url(_text_of(item)) if name is None else name
        # The name without a number, and the last number.
        self._name = self.of_url
        self._number = 0
        self.file_name: str | None = None
        """The name of the file; `None` if the server or a function names it."""
        self.part_name = ""
        """The name of its part, as long as it has a name."""
        self.text: str | None = None
        """The path of the file as text, as long as it has a name."""
        # The path that was asked for last.
        self._path: Path | None = None
        if name is not None or folder.name == "url":
            self._claim_name(self.of_url, self.renames)

    def _claim_name(self, name: str, renames: bool) -> str:
        self.file_name = found = self._claim(self._folder.path, name, renames)
        self.part_name = part_name(found)
        self.text = self._before + found
        return found

    @property
    def path(self) -> Path | None:
        """The file; `None` if the server or a function names it."""
        name, path = self.file_name, self._path
        if name is None:
            return None
        if path is None or path.name != name:
            path = self._path = self._folder.path / name
        return path

    @property
    def part_text(self) -> str:
        """The path of its part as text; only with a `text`."""
        return self._before + self.part_name

    @property
    def part_path(self) -> Path:
        """
        The path whose part the body is written to.

        Without a name, it must be the same at the next run, and another one for another URL.
        """
        path = self.path
        if path is not None:
            return path
        digest = blake2b(_text_of(self._item).encode("utf-8", "surrogatepass"), digest_size=8)
        return self._folder.path / safe_name(f"{digest.hexdigest()}-{self.of_url}")

    def name(self, head: Head) -> Path:
        """
        Return the path of the file, whose response has come.

        Raises:
            SinkFailure: Another request of the batch has it, or the caller's function raised.
        """
        name = self.file_name
        if name is None:
            try:
                self._name = self._name_in(head)
                name = self._claim_name(self._name, self.renames)
            except ValueError as error:
                raise SinkFailure(FailureKind.invalid_request, error=error) from None
        return self._folder.path / name

    def rename(self) -> Path:
        """Return the path with the next number: there is a file in the place of the last one."""
        assert self.file_name is not None
        self._number += 1
        name = numbered(self._name, self._number)
        return self._folder.path / self._claim_name(name, True)

    def _name_in(self, head: Head) -> str:
        naming = self._folder.name
        if not callable(naming):
            values = head.values(b"content-disposition")
            return (name_from_disposition(values[0]) if values else None) or self.of_url
        return _given_by(naming, Request.of(self._item), head)


def _given_by(naming: Callable[..., str], request: Request, head: Head) -> str:
    try:
        name = naming(request, head.response())
        if not isinstance(name, str):
            raise TypeError(f"the function of Folder(name=...) must return a str, not {name!r}")
    except Exception as error:
        raise SinkFailure(FailureKind.callback, error=error) from None
    return safe_name(name)


def _text_of(item: Request | str) -> str:
    url = item if isinstance(item, str) else item.url
    text = text_of_url(url)
    return str(url) if text is None else text


@functools.lru_cache(maxsize=64)
def _before_name(folder: str) -> str:
    """Return what the path of a file begins with, before its name."""
    return os.path.join(folder, "")  # noqa: PTH118  # it ends with a separator
