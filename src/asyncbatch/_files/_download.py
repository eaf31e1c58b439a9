"""
`Download`: the file of one request through all its tries, as the sink of their bodies.

It decides by `_continuation` and `_naming`, and has `Part` carry it out in threads of the disk.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
import httpx

from asyncbatch._files._continuation import (
    OWN_FIELDS,
    Action,
    Asked,
    Decision,
    Ending,
    can_continue,
    decide,
    ending_of,
    fields_for_newer,
    fields_for_rest,
)
from asyncbatch._files._naming import Naming
from asyncbatch._files._part import Part, part_of, remove_twin
from asyncbatch._files._refresh import forget_refresh, keep_refresh, refreshable
from asyncbatch._files._versions import (
    Kept,
    Version,
    identity_of,
    range_head,
    state_of,
    version_from,
    version_of,
)
from asyncbatch._runtime._threads import Call, NoThreads, Threads
from asyncbatch._values._checksum import Checksum
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._request import Request, text_of_url
from asyncbatch._values._sink import (
    Decode,
    Head,
    Mismatch,
    Saved,
    SinkFailure,
    Taking,
    TooLarge,
)
from asyncbatch._values._timeouts import CLOSE_SECONDS

T = TypeVar("T")

THREADS = 8
"""Most threads that write. Each waits for the disk most of the time: of files of 20 KB, 8 bring
twice as many to the disk as 4."""

AT_ONCE = 256 * 1024
"""Bytes that are given to a thread at once, if they do not arrive faster. Meanwhile, the connection
holds at most 384 KiB, so that a file takes less than 1 MiB."""

MAX_REPETITIONS = 100
"""Most tries that begin at once: for the rest of a file of which a server sends a little only."""

_REPLACING = ("overwrite", "refresh")

_threads = Threads("asyncbatch-disk", THREADS, linger=0.1)


class Download:
    """
    The file of one request.

    Args:
        naming: Its path.
        request: The request.
        exists: What happens if the file exists; see `Folder`.
        resume: Whether a part of an earlier run is continued.
        checksum: The hash that the body must have.
        under_way: The downloads of the batch whose bodies are being received; this one is there
            while it is.
    """

    def __init__(
        self,
        naming: Naming,
        request: Request,
        *,
        exists: str,
        resume: bool,
        checksum: Checksum | None,
        under_way: dict[Download, None],
    ) -> None:
        self.max_body: int | None = None
        """Most bytes of the body; set before each try."""
        self._under_way = under_way
        # When the body began, and what was there then.
        self._began = (0.0, 0)
        self._naming = naming
        self._method = request.method.upper()
        self._request = request
        own = own_fields(request)
        # What the request itself says of these is left alone.
        self._has_condition = not OWN_FIELDS.isdisjoint(own)
        self._names_coding = "accept-encoding" in own
        self._exists = exists
        self._checksum = checksum
        # Whether the part that is there may be continued: because it is of this run, for example.
        self._may_continue = resume
        # Whether the file is there with another checksum, so that it counts as absent.
        self._is_wrong = False
        # Whether a body has had another checksum already.
        self._has_differed = False
        # How many tries have begun at once because of what the one before was answered.
        self._repetitions = 0
        # The part of the try in progress, and the bytes of the body that are not written yet.
        self._part: Part | None = None
        self._pieces: list[bytes] = []
        self._waiting = 0
        # The end of the last try, in a thread.
        self._ending: Call | None = None
        self._reset()

    def _reset(self) -> None:
        """Forget the last try."""
        self._asked = Asked.WHOLE
        self._kept: Kept | None = None
        # Set once the head of the response has come.
        self._decision: Decision | None = None
        self._version: Version | None = None
        # The head of a body that begins at 0, until the first bytes are written.
        self._new: Head | None = None
        self._decoder: Any = None
        self._hash: Any = None

    @property
    def path(self) -> Path:
        """The file; its part while it has no name."""
        return self._naming.path or part_of(self._naming.part_path)

    @property
    def received(self) -> int:
        """The bytes of the file that are there."""
        return self._waiting + (0 if self._part is None else self._part.size)

    @property
    def length(self) -> int | None:
        """The bytes that the file will have; `None` if that is unknown."""
        return None if self._decision is None else self._decision.length

    @property
    def rate(self) -> float:
        """The bytes per second of this try."""
        since, before = self._began
        seconds = anyio.current_time() - since
        return max(self.received - before, 0) / seconds if seconds > 0 else 0.0

    def found_nowait(self) -> Saved | None:
        """Return the file, if it exists and nothing is to be sent therefore; it is one look."""
        path = self._naming.path
        if path is None or self._exists != "skip" or self._checksum is not None:
            return None
        try:
            found = _look_for(path)
        except OSError:
            return None  # `begin` finds it too, and reports it
        if found is None or found.st_nlink > 1:
            return None  # `begin` looks closer
        return Saved(path, found.st_size)

    async def begin(self) -> Saved | None:
        """
        Prepare for a try; return the file if it exists and nothing is to be sent.

        Raises:
            SinkFailure: The file cannot be written.
        """
        ending, self._ending = self._ending, None
        if ending is not None:
            await ending.ended.wait()
        self._reset()
        # Set before it is open: a cancellation does not wait for the thread.
        self._part = part = Part()
        if self._is_nothing_there():
            return None  # the part is opened when the first bytes have come
        try:
            found = await self._call(partial(self._prepare, part))
        except SinkFailure:
            self._part = None
            raise
        if found is not None:
            self._part = None
        return found

    def _is_nothing_there(self) -> bool:
        """Whether neither the file nor its part is there, as far as one look can tell."""
        path = self._naming.path
        if path is None or self._has_condition:
            return False
        try:
            return _look_for(path) is None and _look_for(part_of(path)) is None
        except OSError:
            return False  # a thread looks closer

    def headers(self) -> Mapping[str, str]:
        """Return the headers of the next try."""
        if self._asked is Asked.REST:
            assert self._kept is not None
            return fields_for_rest(self._kept)
        if self._asked is Asked.NEWER:
            assert self._version is not None
            return fields_for_newer(self._version)
        return {} if self._names_coding else {"Accept-Encoding": "identity"}

    async def accept(self, head: Head) -> Taking:
        """See `Sink.accept`."""
        if self._asked is Asked.WHOLE and self._naming.path is not None:
            length = _plain_length(head)
            if length is not None and (self.max_body is None or length <= self.max_body):
                # The most common answer, and the same as below.
                self._decision = Decision(Action.WRITE, length, length)
                self._begin_anew(head)
                return self._begin_body()
        facts = range_head(head.status, head.fields, head.url)
        kept = self._kept
        if self._asked is Asked.NEWER and self._version is not None:
            kept = Kept(0, self._version)
        decision = decide(self._asked, facts, kept)
        action = decision.action
        if action is Action.NO_FILE:
            return Taking.MEMORY
        if action is Action.PROTOCOL or action is Action.RESTART:
            self._may_continue = False
            raise self._refusal(head, again=action is Action.RESTART)
        if self.max_body is not None and (decision.end or 0) > self.max_body:
            raise TooLarge(self.max_body)
        if kept is not None:
            self._version = kept.version
        self._decision = decision
        if action is Action.COMPLETE or action is Action.UNCHANGED:
            return Taking.NOTHING
        had_name = self._naming.path is not None
        path = self._naming.name(head)
        if not had_name and await self._call(partial(self._look_at, path)) is not None:
            self._decision = Decision(Action.UNCHANGED)
            return Taking.NOTHING
        if action is Action.WRITE:
            self._begin_anew(head)
        return self._begin_body()

    def _begin_body(self) -> Taking:
        """Note that a body is being received."""
        self._began = anyio.current_time(), 0 if self._new is not None else self.received
        self._under_way[self] = None
        return Taking.BODY

    def _begin_anew(self, head: Head) -> None:
        """Prepare for a body that begins at 0."""
        self._new = head
        self._hash = None if self._checksum is None else self._checksum.new()

    def _refusal(self, head: Head, *, again: bool) -> SinkFailure:
        if again:
            return SinkFailure(
                FailureKind.protocol,
                f"the rest of the file was asked for, and the answer {head.status} is not it",
                again=self._may_repeat(),
            )
        return SinkFailure(
            FailureKind.protocol, f"the answer {head.status} is not the file that was asked for"
        )

    def _may_repeat(self) -> bool:
        self._repetitions += 1
        return self._repetitions <= MAX_REPETITIONS

    def decode_by(self, decode: Decode) -> None:
        """See `Sink.decode_by`."""
        assert self._part is not None
        self._decoder = decode(partial(self._hash_and_write, self._part))

    async def write(self, piece: bytes) -> None:
        """See `Sink.write`."""
        self._pieces.append(piece)
        self._waiting += len(piece)
        # A body that is not there as a whole has its part locked while the rest is waited for.
        if self._waiting >= AT_ONCE or (self._new is not None and self._waiting != self.length):
            part = self._part
            assert part is not None
            # The connection receives meanwhile, as much as it holds.
            await self._call(partial(self._write, part, self._take_pieces()))

    async def finish(self) -> Saved:
        """See `Sink.finish`."""
        part = self._part
        assert part is not None
        return await self._call(partial(self._finish, part, self._take_pieces()))

    async def end(self) -> None:
        """
        End a try: keep what has arrived, and unlock the part.

        It waits for the disk, but not for long; the next try waits for the rest.
        """
        self._under_way.pop(self, None)
        part, self._part = self._part, None
        # There are none if a call of a thread was cancelled: it has been given all of them.
        pieces = self._take_pieces()
        if part is None or not part.is_open:
            return
        keep = partial(self._keep, part, pieces)
        try:
            self._ending = _threads.begin(keep)
        except NoThreads:
            keep()
            return
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await self._ending.ended.wait()

    def _take_pieces(self) -> list[bytes]:
        pieces, self._pieces, self._waiting = self._pieces, [], 0
        return pieces

    async def _call(self, function: Callable[[], T]) -> T:
        """
        Call a function in a thread, and return its value.

        Raises:
            SinkFailure: It has raised an `OSError`.
        """
        try:
            try:
                return await _threads.call(function)
            except NoThreads:
                return function()
        except OSError as error:
            raise SinkFailure(FailureKind.disk, error=error) from None

    # What follows is called in threads.

    def _prepare(self, part: Part) -> Saved | None:
        """Look at the file, open the part, and decide what to ask for."""
        path = self._naming.path
        if path is not None and (found := self._look_at(path)) is not None:
            return found
        part.open(self._naming.part_path)
        self._ask(part)
        return None

    def _ask(self, part: Part) -> None:
        if self._has_condition:
            self._asked = Asked.OWN
            return
        state = part.state() if self._may_continue else None
        if state is not None and state.get("request") == _identity_of(self._request):
            version = version_from(state)
            if version is not None and can_continue(self._method, Kept(part.size, version)):
                part.cut(part.size)
                self._asked, self._kept = Asked.REST, Kept(part.size, version)
                if self._checksum is not None:
                    self._hash = self._checksum.new()
                    part.feed(self._hash.update)
                return
        path = self._naming.path
        if self._exists == "refresh" and path is not None and self._method == "GET":
            if self._checksum is not None and not _has(path, self._checksum):
                return
            self._version = refreshable(path, _identity_of(self._request))
            if self._version is not None:
                self._asked = Asked.NEWER

    def _look_at(self, path: Path) -> Saved | None:
        """
        Look at what is in the place of the file; return it if nothing is to be written.

        Raises:
            OSError: The file cannot be written there.
        """
        found = _look_for(path)
        if found is None:
            return None
        if self._exists == "error":
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        if self._exists == "rename" and self._naming.renames:
            while _look_for(self._naming.rename()) is not None:
                pass
        if found.st_nlink > 1:
            remove_twin(path)
        if self._exists == "skip":
            if self._checksum is None or _has(path, self._checksum):
                return Saved(path, found.st_size)
            self._is_wrong = True
        return None

    def _write(self, part: Part, pieces: list[bytes]) -> None:
        if self._new is not None:
            self._begin_part(part, self._new)
        decoder = self._decoder
        if decoder is not None:
            for piece in pieces:
                decoder.feed(piece)
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
        self._version = version = version_of(range_head(head.status, head.fields, head.url))
        if self._asked is not Asked.OWN and can_continue(self._method, Kept(1, version)):
            part.keep({"request": _identity_of(self._request), **state_of(version)})

    def _hash_and_write(self, part: Part, piece: bytes) -> None:
        """Write a piece that the decoder passes on."""
        self._check_size(part, len(piece))
        if self._hash is not None:
            self._hash.update(piece)
        part.write((piece,))

    def _check_size(self, part: Part, more: int) -> None:
        decision = self._decision
        if decision is not None and ending_of(decision, part.size + more) is Ending.OVERLONG:
            # Before it is written: bytes beyond the end must not be continued, whatever ends this.
            self._may_continue = False
            part.remove()
            raise SinkFailure(FailureKind.protocol, "the body is longer than its head says")
        if self.max_body is not None and part.size + more > self.max_body:
            part.remove()
            raise TooLarge(self.max_body)

    def _finish(self, part: Part, pieces: list[bytes]) -> Saved:
        decision, path = self._decision, self._naming.path
        assert decision is not None
        assert path is not None
        if decision.action is Action.UNCHANGED:
            part.remove()  # an earlier try's, of a version that is not the newest
            return _saved(path)
        if decision.action is not Action.COMPLETE:
            if self._new is not None and self._is_complete(decision, pieces):
                self._new = None
                part.open(self._naming.part_path)
                if part.size:
                    part.cut(0)
            self._write(part, pieces)
            if self._decoder is not None:
                self._decoder.finish()
            else:
                self._check_ending(part, decision)
        self._check_hash(part)
        return self._complete(part, path)

    def _is_complete(self, decision: Decision, pieces: list[bytes]) -> bool:
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
            again=ending is Ending.SHORT and self._may_repeat(),
        )

    def _check_hash(self, part: Part) -> None:
        checksum = self._checksum
        if checksum is None or self._hash.hexdigest() == checksum.digest:
            return
        found = f"{checksum.algorithm}:{self._hash.hexdigest()}"
        self._may_continue = False
        part.remove()
        again, self._has_differed = not self._has_differed, True
        raise Mismatch(f"{checksum.algorithm}:{checksum.digest}", found, again=again)

    def _complete(self, part: Part, path: Path) -> Saved:
        """Give the file its name."""
        is_whole = self._kept is None or self._is_whole
        refreshes = self._exists == "refresh"
        if refreshes:
            forget_refresh(path)
        while True:
            try:
                part.complete(path, replaces=self._exists in _REPLACING or self._is_wrong)
                break
            except FileExistsError:
                # Another program was faster.
                if self._exists == "skip":
                    part.remove()
                    return _saved(path)
                if not self._naming.renames:
                    raise
                path = self._naming.rename()
        if refreshes and self._version is not None and self._decoder is None:
            keep_refresh(path, _identity_of(self._request), self._version)
        return Saved(path, part.size, 0 if is_whole or self._kept is None else self._kept.size)

    @property
    def _is_whole(self) -> bool:
        """Whether the body begins at 0."""
        return self._decision is not None and self._decision.action is Action.WRITE

    def _keep(self, part: Part, pieces: list[bytes]) -> None:
        """Keep what has arrived in a try that has failed; it is continued, or begun anew."""
        if self._decoder is not None:
            part.cut(0)  # of what was decoded, nothing can be continued
        elif self._decision is not None:
            # The failure that is reported is the first one.
            with contextlib.suppress(OSError, SinkFailure):
                self._write(part, pieces)
            self._may_continue = True
            with contextlib.suppress(OSError):
                part.sync()
        part.close()


def _plain_length(head: Head) -> int | None:
    """Return the length of the body of a plain 200; `None` if a closer look is needed."""
    length = None
    if head.status != 200:
        return None
    for name, value in head.fields:
        if len(name) >= 13:  # not shorter than these
            lowered = name.lower()
            if lowered in (b"content-range", b"content-encoding"):
                return None
            if lowered == b"content-length":
                if length is not None or not value.isdigit() or len(value) > 18:
                    return None
                length = int(value)
    return length


def _has(path: Path, checksum: Checksum) -> bool:
    """Whether there is a file with a checksum."""
    found = checksum.new()
    try:
        with path.open("rb", buffering=0) as file:
            while piece := file.read(AT_ONCE):
                found.update(piece)
    except FileNotFoundError:
        return False
    return bool(found.hexdigest() == checksum.digest)


def _saved(path: Path) -> Saved:
    """Return a file that is there."""
    found = _look_for(path)
    return Saved(path, 0 if found is None else found.st_size)


def _look_for(target: Path) -> os.stat_result | None:
    """
    Return what is known of a file; `None` if there is none.

    Raises:
        OSError: There is something else in its place.
    """
    try:
        found = os.lstat(target)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, "a link stands in the place of the file", str(target))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(target))
    return found


def own_fields(request: Request) -> frozenset[str]:
    """Return the names of the header fields that a request itself has, in lower case."""
    if request.headers is None:
        return frozenset()
    return frozenset(httpx.Headers(request.headers))  # pyright: ignore[reportArgumentType]


def _identity_of(request: Request) -> str:
    """Return what the parts of one URL have in common."""
    url = text_of_url(request.url)
    text = str(request.url) if url is None else url
    if request.params is not None:
        params: Any = request.params
        text = f"{text}&{httpx.QueryParams(params)}"
    return identity_of(text)
