"""
`WholeBody`: a body that is there as a whole, written to a file without a name until it is complete.

Its steps are made in threads of the disk, those of a group of files together.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from asyncbatch._files._groups import Steps
from asyncbatch._files._names import part_name
from asyncbatch._files._naming import Naming
from asyncbatch._files._target import saved_at
from asyncbatch._files._unnamed import OpenFolders
from asyncbatch._values._sink import Saved

REPLACING = ("overwrite", "refresh")
"""The values of `exists` with which a file may be replaced: only what has a name can do so."""


class WholeBody:
    """
    A body and the file that it goes to.

    Args:
        naming: The path of the file, which is known.
        exists: What happens if the file exists; none of `REPLACING`.
        content: The body.
        check: Raises what is wrong with the body; `None`: nothing may be.
        is_wanted: Whether its try goes on; `None`: it does.
    """

    __slots__ = ("_check", "_content", "_exists", "_is_wanted", "_naming")

    def __init__(
        self,
        naming: Naming,
        exists: str,
        content: bytes,
        check: Callable[[bytes], None] | None = None,
        is_wanted: Callable[[], bool] | None = None,
    ) -> None:
        self._naming = naming
        self._exists = exists
        self._content = content
        self._check = check
        self._is_wanted = is_wanted

    def steps(self, folders: OpenFolders) -> Steps[Saved | None]:
        """
        Write the file, and give it its name when it is on the disk.

        Returns `None` if it needs a part.

        Raises:
            SinkFailure: It is not what was asked for.
            OSError: It cannot be written.
        """
        naming, content = self._naming, self._content
        assert naming.file_name is not None
        folder = folders.get(naming.folder)
        # Where there is a part, it may be locked, or stand for what must not be written.
        if folder is None or folder.has(part_name(naming.file_name)):
            return None
        file = folder.open_unnamed()
        if file is None:
            return None
        try:
            if self._check is not None:
                self._check(content)
            file.write(content)
            yield file
            while True:
                if self._is_wanted is not None and not self._is_wanted():
                    raise OSError(errno.EBADF, "the part has been closed", naming.text)
                try:
                    file.give_name(naming.file_name)
                except FileExistsError:
                    # Another program was faster.
                    if self._exists == "skip":
                        return saved_at(_path_of(naming))
                    if not naming.renames:
                        raise FileExistsError(
                            errno.EEXIST, os.strerror(errno.EEXIST), naming.text
                        ) from None
                    naming.rename()
                except OSError:
                    return None
                else:
                    assert naming.text is not None
                    return Saved(naming.text, len(content), 0)
        finally:
            file.close()


def _path_of(naming: Naming) -> Path:
    path = naming.path
    assert path is not None
    return path
