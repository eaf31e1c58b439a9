"""
`Naming`: the path of the file of one request, before and after the head of its response is there.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from asyncbatch._files._names import name_from_disposition, name_from_url, numbered, safe_name
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._folder import Folder
from asyncbatch._values._request import Request, text_of_url
from asyncbatch._values._sink import Head, SinkFailure


class Claim(Protocol):
    """Reserves a path in a batch; see `Files.claim`."""

    def __call__(self, folder: Path, name: str, *, renames: bool) -> Path: ...


class Naming:
    """
    The path of one file.

    Args:
        folder: Its folder, and how it is named there.
        request: The request.
        claim: Reserves the path in the batch.
        name: The name that the request itself gives.

    Raises:
        ValueError: Another request of the batch has the path.
    """

    def __init__(self, folder: Folder, request: Request, claim: Claim, name: str | None) -> None:
        self._folder = folder
        self._request = request
        self._claim = claim
        self.renames = folder.exists == "rename" and name is None
        """Whether the name gets a number if the file exists."""
        self.path: Path | None = None
        """The file; `None` if the server or a function names it."""
        self.of_url = name_from_url(_text_of(request)) if name is None else name
        # The name without a number, and the last number.
        self._name = self.of_url
        self._number = 0
        if name is not None or folder.name == "url":
            self.path = claim(folder.path, self.of_url, renames=self.renames)

    @property
    def part_path(self) -> Path:
        """
        The path whose part the body is written to.

        Without a name, it must be the same at the next run, and another one for another URL.
        """
        if self.path is not None:
            return self.path
        digest = blake2b(_text_of(self._request).encode("utf-8", "surrogatepass"), digest_size=8)
        return self._folder.path / safe_name(f"{digest.hexdigest()}-{self.of_url}")

    def name(self, head: Head) -> Path:
        """
        Return the path of the file, whose response has come.

        Raises:
            SinkFailure: Another request of the batch has it, or the caller's function raised.
        """
        if self.path is None:
            try:
                self._name = self._name_in(head)
                self.path = self._claim(self._folder.path, self._name, renames=self.renames)
            except ValueError as error:
                raise SinkFailure(FailureKind.invalid_request, error=error) from None
        return self.path

    def rename(self) -> Path:
        """Return the path with the next number: there is a file in the place of the last one."""
        assert self.path is not None
        self._number += 1
        name = numbered(self._name, self._number)
        self.path = self._claim(self._folder.path, name, renames=True)
        return self.path

    def _name_in(self, head: Head) -> str:
        naming = self._folder.name
        if not callable(naming):
            values = head.values(b"content-disposition")
            return (name_from_disposition(values[0]) if values else None) or self.of_url
        return _given_by(naming, self._request, head)


def _given_by(naming: Callable[..., str], request: Request, head: Head) -> str:
    try:
        name = naming(request, head.response())
        if not isinstance(name, str):
            raise TypeError(f"the function of Folder(name=...) must return a str, not {name!r}")
    except Exception as error:
        raise SinkFailure(FailureKind.callback, error=error) from None
    return safe_name(name)


def _text_of(request: Request) -> str:
    url = text_of_url(request.url)
    return str(request.url) if url is None else url
