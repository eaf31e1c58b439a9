"""
`WholeBody`: a body that is there as a whole, written to a file without a name until it is complete.

Its steps are made in threads of the disk, or in the event loop where there is no disk, those of a
group of files together.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asyncbatch._files._absence import is_absent, is_quick
from asyncbatch._files._groups import StepCall
from asyncbatch._files._naming import Naming
from asyncbatch._files._target import saved_at
from asyncbatch._files._unnamed import OpenFolders
from asyncbatch._values._sink import Saved

REPLACING = ("overwrite", "refresh")
"""The values of `exists` with which a file may be replaced: only what has a name can do so."""


class WholeBody(StepCall):
    """
    A body, and the call that writes it to its file.

    Its value is `None` if the body needs a part.

    Args:
        naming: The path of the file, which is known.
        exists: What happens if the file exists; none of `REPLACING`.
        content: The body.
        loop: See `StepCall`.
        on_end: See `StepCall`.
        check: Raises what is wrong with the body; `None`: nothing may be.
        is_wanted: Whether its try goes on; `None`: it does.
    """

    __slots__ = ("_check", "_content", "_exists", "_is_wanted", "_naming")

    def __init__(
        self,
        naming: Naming,
        exists: str,
        content: bytes,
        loop: Any,
        on_end: Callable[[], None] | None = None,
        check: Callable[[bytes], None] | None = None,
        is_wanted: Callable[[], bool] | None = None,
    ) -> None:
        super().__init__(len(content), loop, on_end)
        # A checksum takes the time of a large body.
        self.is_quick = check is None and is_quick(naming.folder)
        self._naming = naming
        self._exists = exists
        self._content = content
        self._check = check
        self._is_wanted = is_wanted

    def write_file(self, folders: OpenFolders) -> bool:
        """
        Write the file; return `False` if that needs a part.

        Raises:
            SinkFailure: It is not what was asked for.
            OSError: It cannot be written.
        """
        naming, content = self._naming, self._content
        folder = folders.get(naming.folder)
        if folder is None:
            return False
        # Where there is a part, it may be locked, or stand for what must not be written.
        part = naming.part_name
        if not is_absent(part, naming.folder, folder.fd) and folder.has(part):
            return False
        file = self.file = folder.open_unnamed()
        if file is None:
            return False
        if self._check is not None:
            self._check(content)
        file.write(content)
        return True

    def name_file(self) -> Saved | None:
        """
        Give the file its name.

        Raises:
            OSError: Another file has it.
        """
        naming, file = self._naming, self.file
        assert file is not None
        while True:
            if self._is_wanted is not None and not self._is_wanted():
                raise OSError(errno.EBADF, "the part has been closed", naming.text)
            assert naming.file_name is not None
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
                return Saved(naming.text, len(self._content), 0)


def _path_of(naming: Naming) -> Path:
    path = naming.path
    assert path is not None
    return path
