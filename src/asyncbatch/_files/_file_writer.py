"""
`FileWriter`: reads and writes the file of one request, in threads of the disk.

It reads the file and the part of earlier runs, writes the part, checks it, and gives it its name.
`Download` calls it in threads, one call at a time, and decides by its attributes afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import httpx

from asyncbatch._files._continuation import (
    Action,
    Asked,
    Decision,
    Ending,
    can_continue,
    ending_of,
)
from asyncbatch._files._naming import Naming
from asyncbatch._files._part import Part, remove_twin
from asyncbatch._files._refresh import forget_refresh, keep_refresh, refreshable
from asyncbatch._files._target import has_checksum, look_for, saved_at
from asyncbatch._files._versions import (
    Kept,
    Version,
    identity_of,
    range_head,
    state_of,
    version_from,
    version_of,
)
from asyncbatch._files._whole_body import REPLACING, WholeBody
from asyncbatch._values._checksum import Checksum
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._request import Request, text_of_url
from asyncbatch._values._sink import Decode, Head, Mismatch, Refill, Saved, SinkFailure, TooLarge

MAX_REPETITIONS = 100
"""Most tries that begin at once: for the rest of a file of which a server sends a little only."""

TURN = 4 * 1024 * 1024
"""Bytes that a thread receives and writes in spite of others that wait for it."""

Pieces: TypeAlias = Sequence[bytes | memoryview]


class FileWriter:
    """
    The file of one request.

    Args:
        naming: Its path.
        request: The request.
        exists: What happens if the file exists; see `Folder`.
        resume: Whether a part of an earlier run is continued.
        checksum: The hash that the body must have.
        has_condition: Whether the request itself asks for a part or a version.
    """

    def __init__(
        self,
        naming: Naming,
        request: Request,
        *,
        exists: str,
        resume: bool,
        checksum: Checksum | None,
        has_condition: bool,
    ) -> None:
        self.max_body: int | None = None
        """Most bytes of the body; set before each try."""
        self.may_continue = resume
        """Whether the part may be continued, for example because it is of this run."""
        self._naming = naming
        self._method = request.method.upper()
        self.request = request
        """The request, as it was given."""
        self._has_condition = has_condition
        self._exists = exists
        self._checksum = checksum
        # Whether the file is there with another checksum, so that it counts as absent.
        self._is_wrong = False
        # Whether a body has had another checksum already.
        self._has_differed = False
        # How many tries have begun at once because of what the one before was answered.
        self._repetitions = 0
        self.reset()

    def reset(self) -> None:
        """Reset the state of the last try."""
        self.asked = Asked.WHOLE
        """The bytes that this try asks for; set by `prepare`."""
        self.kept: Kept | None = None
        """The part that this try continues."""
        self.version: Version | None = None
        """The version of the file on the disk, or of the body that arrives."""
        self.decision: Decision | None = None
        """The decision about the response; set after its head has arrived."""
        # The head of a body that begins at 0, until the first bytes are written.
        self._new: Head | None = None
        self._decoder: Any = None
        self._hash: Any = None

    @property
    def begins_anew(self) -> bool:
        """Whether a body begins at 0, and none of it has been written."""
        return self._new is not None

    def begin_anew(self, head: Head) -> None:
        """Prepare for a body that begins at 0; nothing is written yet."""
        self._new = head
        self._hash = self._new_hash()

    def _new_hash(self) -> Any:
        return None if self._checksum is None else self._checksum.new()

    def decode_by(self, decode: Decode, part: Part) -> None:
        """Let what is written go through a decoder; nothing is written yet."""
        self._decoder = decode(partial(self._hash_and_write, part))

    def may_repeat(self) -> bool:
        """Count a try that begins at once; return whether there may be one more."""
        self._repetitions += 1
        return self._repetitions <= MAX_REPETITIONS

    def prepare(self, part: Part) -> Saved | None:
        """Look at the file, open the part, and decide what to ask for."""
        path = self._naming.path
        if path is not None and (found := self.look_at(path)) is not None:
            return found
        part.open(self._naming.part_path)
        self._ask(part)
        return None

    def _ask(self, part: Part) -> None:
        if self._has_condition:
            self.asked = Asked.OWN
            return
        state = part.state() if self.may_continue else None
        if state is not None and state.get("request") == _identity_of(self.request):
            version = version_from(state)
            if version is not None and can_continue(self._method, Kept(part.size, version)):
                part.cut(part.size)
                self.asked, self.kept = Asked.REST, Kept(part.size, version)
                if self._checksum is not None:
                    self._hash = self._checksum.new()
                    part.feed(self._hash.update)
                return
        path = self._naming.path
        if self._exists == "refresh" and path is not None and self._method == "GET":
            if self._checksum is not None and not has_checksum(path, self._checksum):
                return
            self.version = refreshable(path, _identity_of(self.request))
            if self.version is not None:
                self.asked = Asked.NEWER

    def look_at(self, path: Path) -> Saved | None:
        """
        Look at the path of the file; return the file there if nothing must be written.

        Raises:
            OSError: The file cannot be written there.
        """
        found = look_for(path)
        if found is None:
            return None
        if self._exists == "error":
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        if self._exists == "rename" and self._naming.renames:
            while look_for(self._naming.rename()) is not None:
                pass
        if found.st_nlink > 1:
            remove_twin(path)
        if self._exists == "skip":
            if self._checksum is None or has_checksum(path, self._checksum):
                return Saved(path, found.st_size)
            self._is_wrong = True
        return None

    def go_on(
        self,
        part: Part,
        refill: Refill,
        memory: memoryview,
        are_others_waiting: Callable[[], bool],
    ) -> int:
        """
        Write what `refill` receives into `memory`, until nothing more has come.

        It also ends when the part is closed, or others wait for the thread.

        Returns:
            How many bytes have been received.
        """
        refilled = 0
        while part.is_open and (size := refill(memory)):
            refilled += size
            self.write(part, [memory[:size]])
            if refilled >= TURN and are_others_waiting():
                break
        return refilled

    def write(self, part: Part, pieces: Pieces) -> None:
        if self._new is not None:
            self._begin_part(part, self._new)
        decoder = self._decoder
        if decoder is not None:
            for piece in pieces:
                decoder.feed(bytes(piece))
            return
        self._check_size(part, sum(map(len, pieces)))
        if self._hash is not None:
            for piece in pieces:
                self._hash.update(piece)
        part.write(pieces)

    def _begin_part(self, part: Part, head: Head) -> None:
        """Prepare the part for a body that begins at 0."""
        self._new = None
        part.open(self._naming.part_path)
        part.cut(0)
        self.version = version = version_of(range_head(head.status, head.fields, head.url))
        if self.asked is not Asked.OWN and can_continue(self._method, Kept(1, version)):
            part.keep({"request": _identity_of(self.request), **state_of(version)})

    def _hash_and_write(self, part: Part, piece: bytes) -> None:
        """Write a piece that the decoder passes on."""
        self._check_size(part, len(piece))
        if self._hash is not None:
            self._hash.update(piece)
        part.write((piece,))

    def _check_size(self, part: Part, more: int) -> None:
        decision = self.decision
        if decision is not None and ending_of(decision, part.size + more) is Ending.OVERLONG:
            # Before it is written: bytes beyond the end must never be continued.
            self.may_continue = False
            part.remove()
            raise SinkFailure(FailureKind.protocol, "the body is longer than its head says")
        if self.max_body is not None and part.size + more > self.max_body:
            part.remove()
            raise TooLarge(self.max_body)

    def finish(self, part: Part, pieces: Pieces) -> Saved:
        """
        Write the rest of the body, check all of it, and give the file its name.

        Raises:
            SinkFailure: It is not what was asked for.
            OSError: It cannot be written.
        """
        return self.verify(part, pieces) or self.complete(part)

    def whole_body(self, part: Part, pieces: list[bytes], loop: Any) -> WholeBody:
        """
        Return the call that does as `finish` does with a body for which `is_whole` holds.

        Unless it ends without a value, close the part, which it has not opened.
        """
        content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        check = None if self._checksum is None else partial(self._check_whole, part)
        return WholeBody(
            self._naming,
            self._exists,
            content,
            loop,
            check=check,
            is_wanted=lambda: part.is_open,
        )

    def _check_whole(self, part: Part, content: bytes) -> None:
        # Of its own, as the body may have to be written to a part afterwards.
        found = self._new_hash()
        found.update(content)
        self._check_hash(part, found)

    def verify(self, part: Part, pieces: Pieces) -> Saved | None:
        """
        Write the rest of the body and check all of it; return a file that has not changed.

        Raises:
            SinkFailure: It is not what was asked for.
            OSError: It cannot be written.
        """
        decision, path = self.decision, self._naming.path
        assert decision is not None
        assert path is not None
        if decision.action is Action.UNCHANGED:
            part.remove()  # an earlier try's, of a version that is not the newest
            return saved_at(path)
        if decision.action is not Action.COMPLETE:
            if self._new is not None and self._is_complete(decision, pieces):
                self._new = None
                part.open(self._naming.part_path)
                if part.size:
                    part.cut(0)
            self.write(part, pieces)
            if self._decoder is not None:
                self._decoder.finish()
            else:
                self._check_ending(part, decision)
        self._check_hash(part, self._hash)
        return None

    def refuse(self, part: Part) -> None:
        """Remove a body that is whole, and is not wanted."""
        self.may_continue = False
        part.remove()

    @property
    def may_be_unnamed(self) -> bool:
        """Whether a body that is whole may go to a file that has no name before it is complete."""
        # One that replaces another file needs a name before.
        return self._exists not in REPLACING

    def is_whole(self, part: Part, size: int) -> bool:
        """Whether all bytes of a body are there as they are to be, and nothing else of the file."""
        decision = self.decision
        return (
            self._new is not None
            and self._decoder is None
            and not part.was_opened
            and self.may_be_unnamed
            and decision is not None
            and ending_of(decision, size) is Ending.COMPLETE
            and (self.max_body is None or size <= self.max_body)
        )

    def _is_complete(self, decision: Decision, pieces: Pieces) -> bool:
        """Whether all of a body is there before any of it was written, so that it is short."""
        if self._exists == "refresh":  # its version is needed
            return False
        return ending_of(decision, sum(map(len, pieces))) is Ending.COMPLETE

    def _check_ending(self, part: Part, decision: Decision) -> None:
        ending = ending_of(decision, part.size)
        if ending is Ending.COMPLETE:
            return
        raise SinkFailure(
            FailureKind.truncated,
            f"the body ended at byte {part.size} of {decision.length}",
            again=ending is Ending.SHORT and self.may_repeat(),
        )

    def _check_hash(self, part: Part, of_body: Any) -> None:
        checksum = self._checksum
        if checksum is None or of_body.hexdigest() == checksum.digest:
            return
        found = f"{checksum.algorithm}:{of_body.hexdigest()}"
        self.refuse(part)
        again, self._has_differed = not self._has_differed, True
        raise Mismatch(f"{checksum.algorithm}:{checksum.digest}", found, again=again)

    def complete(self, part: Part) -> Saved:
        """
        Give the file its name.

        Raises:
            OSError: It cannot have it.
        """
        path = self._naming.path
        assert path is not None
        is_whole = self.kept is None or self._is_whole
        refreshes = self._exists == "refresh"
        if refreshes:
            forget_refresh(path)
        while True:
            try:
                part.complete(path, replaces=self._exists in REPLACING or self._is_wrong)
                break
            except FileExistsError:
                # Another program was faster.
                if self._exists == "skip":
                    part.remove()
                    return saved_at(path)
                if not self._naming.renames:
                    raise
                path = self._naming.rename()
        if refreshes and self.version is not None and self._decoder is None:
            keep_refresh(path, _identity_of(self.request), self.version)
        return Saved(path, part.size, 0 if is_whole or self.kept is None else self.kept.size)

    @property
    def _is_whole(self) -> bool:
        """Whether the body begins at 0."""
        return self.decision is not None and self.decision.action is Action.WRITE

    def keep(self, part: Part, pieces: Pieces) -> None:
        """Keep the bytes of a try that has failed; the next try continues them, or starts over."""
        if self._decoder is not None:
            part.cut(0)  # of what was decoded, nothing can be continued
        elif self.decision is not None and (pieces or not self.begins_anew):
            # The failure that is reported is the first one.
            with contextlib.suppress(OSError, SinkFailure):
                self.write(part, pieces)
            self.may_continue = True
            with contextlib.suppress(OSError):
                part.sync()
        part.close()


def _identity_of(request: Request) -> str:
    """Return what the parts of one URL have in common."""
    url = text_of_url(request.url)
    text = str(request.url) if url is None else url
    if request.params is not None:
        params: Any = request.params
        text = f"{text}&{httpx.QueryParams(params)}"
    return identity_of(text)
