"""
`Download`: the file of one request through all its tries, as the sink of their bodies.

It decides in the event loop which bytes are requested, and what a response means. Its `FileWriter`
reads and writes the disk, in threads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import httpx

from asyncbatch._files import _disk
from asyncbatch._files._absence import is_absent
from asyncbatch._files._continuation import (
    OWN_FIELDS,
    Action,
    Asked,
    Decision,
    decide,
    fields_for_newer,
    fields_for_rest,
)
from asyncbatch._files._file_writer import FileWriter
from asyncbatch._files._naming import Naming
from asyncbatch._files._part import Part, part_of
from asyncbatch._files._target import look_for
from asyncbatch._files._versions import Kept, plain_length, range_head
from asyncbatch._files._whole_body import REPLACING, WholeBody
from asyncbatch._runtime._event_loop import running_loop
from asyncbatch._values._checksum import Checksum
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._request import Request
from asyncbatch._values._sink import Decode, Head, Refill, Saved, SinkFailure, Taking, TooLarge
from asyncbatch._values._timeouts import CLOSE_SECONDS

AT_ONCE = 256 * 1024
"""Bytes that are given to a thread at once, if they do not arrive faster. Meanwhile, the connection
holds at most 640 KiB, so that a file takes less than 1 MiB."""

IDENTITY: Mapping[str, str] = {"Accept-Encoding": "identity"}
"""The headers of most tries, which ask for the body as it is."""

FRESH = 1.0
"""Seconds for which a look at the disk in the event loop is not repeated. It is two calls of the
kernel, each of which may wait for the threads of the disk to let go of the GIL."""


class Download:
    """
    The file of one request.

    Most files are written from a body that is there as a whole, without a `FileWriter`, a `Part`
    and a `Request`: these are made when they are needed.

    Args:
        naming: Its path.
        item: The request, or its URL.
        exists: What happens if the file exists; see `Folder`.
        resume: Whether a part of an earlier run is continued.
        checksum: The hash that the body must have.
        under_way: The downloads of the batch whose bodies are being received; this one is there
            while it is.
    """

    __slots__ = (
        "_absent_until",
        "_began",
        "_checksum",
        "_endings",
        "_exists",
        "_has_condition",
        "_item",
        "_made_writer",
        "_names_coding",
        "_naming",
        "_part",
        "_pieces",
        "_resume",
        "_under_way",
        "_waiting",
        "_whole",
        "examine",
        "is_held",
    )

    def __init__(
        self,
        naming: Naming,
        item: Request | str,
        *,
        exists: str,
        resume: bool,
        checksum: Checksum | None,
        under_way: dict[Download, None],
    ) -> None:
        # What the request itself says of these is left alone.
        self._has_condition = self._names_coding = False
        if not isinstance(item, str):
            own = own_fields(item)
            self._has_condition = not OWN_FIELDS.isdisjoint(own)
            self._names_coding = "accept-encoding" in own
        self._item = item
        self._naming = naming
        self._exists = exists
        self._resume = resume
        self._checksum = checksum
        self._made_writer: FileWriter | None = None
        self._under_way = under_way
        self.examine: Callable[[Any], Exception | None] | None = None
        """Returns what is wrong with a response whose body is whole; `None`: nothing may be."""
        self.is_held = False
        """Whether the body is whole, and waits for `complete` or `refuse`, as `examine` says."""
        # Until when it is taken for known that neither the file nor its part is there.
        self._absent_until = 0.0
        # When the body began, and what was there then.
        self._began = (0.0, 0)
        # The part of the try in progress, and the bytes of the body that are not written yet.
        self._part: Part | None = None
        self._pieces: list[bytes] = []
        self._waiting = 0
        # The call that writes a body for a file relay, until it is taken or forgotten.
        self._whole: WholeBody | None = None
        # What threads may still be doing for the last try.
        self._endings: list[Callable[[], Awaitable[None]]] = []

    @property
    def request(self) -> Request:
        """The request."""
        item = self._item
        if isinstance(item, str):
            item = self._item = Request(item)
        return item

    @property
    def _writer(self) -> FileWriter:
        writer = self._made_writer
        if writer is None:
            writer = self._made_writer = FileWriter(
                self._naming,
                self.request,
                exists=self._exists,
                resume=self._resume,
                checksum=self._checksum,
                has_condition=self._has_condition,
            )
        return writer

    def set_max_body(self, max_body: int | None) -> None:
        """Set the most bytes of the body, before each try."""
        self._writer.max_body = max_body

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
        decision = None if self._made_writer is None else self._made_writer.decision
        return None if decision is None else decision.length

    @property
    def rate(self) -> float:
        """The bytes per second of this try."""
        since, before = self._began
        seconds = anyio.current_time() - since
        return max(self.received - before, 0) / seconds if seconds > 0 else 0.0

    def found_nowait(self) -> Saved | None:
        """Return the file if it exists and nothing must be sent. One call of the kernel."""
        text = self._naming.text
        if text is None or self._exists != "skip" or self._checksum is not None:
            return None
        if not is_absent(text, self._naming.folder):
            try:
                found = look_for(text)
            except OSError:
                return None  # `begin_try` finds it too, and reports it
            if found is not None:
                # `begin_try` looks closer at one with another name.
                return None if found.st_nlink > 1 else Saved(text, found.st_size)
        if not self._has_condition and self._is_free(self._naming.part_text):
            self._absent_until = monotonic() + FRESH
        return None

    async def begin_try(self) -> Saved | None:
        """
        Prepare for a try; return the file if it exists and nothing must be sent.

        Raises:
            SinkFailure: The file cannot be written.
        """
        endings, self._endings = self._endings, []
        for ending in endings:
            await ending()
        self._writer.reset()
        self.is_held = False
        # Set before it is open: a cancellation does not wait for the thread.
        self._part = part = Part()
        if self._is_nothing_there():
            return None  # the part is opened when the first bytes have come
        try:
            found = await _disk.call(partial(self._writer.prepare, part))
        except SinkFailure:
            self._part = None
            raise
        if found is not None:
            self._part = None
        return found

    def begin_try_nowait(self) -> bool:
        """
        Prepare for a try whose body may be handed over as a whole, if that needs no waiting.

        Returns:
            `False` if `begin_try` must be called instead.
        """
        if (
            self._endings
            or self.examine is not None
            or self._exists in REPLACING
            or not self._is_nothing_there()
        ):
            return False
        if self._made_writer is not None:
            self._made_writer.reset()
        self.is_held = False
        return True

    def write_whole(self, content: bytes, loop: Any, on_end: Callable[[], None]) -> None:
        """
        Write a file after `begin_try_nowait`, with the body of a plain 200, without waiting for it.

        Args:
            content: All of the body.
            loop: The running event loop.
            on_end: Called when `take_saved` may be called, unless `abandon` was called before.
        """
        self._whole = body = WholeBody(self._naming, self._exists, content, loop, on_end)
        _disk.begin_whole(body)

    def take_saved(self) -> Saved | None:
        """Return the file of `write_whole`; `None` if there is none, and the try is to go on."""
        assert self._whole is not None
        saved: Saved | None = self._whole.value
        if saved is not None:
            self._whole = None
        return saved

    def forget_whole(self) -> None:
        """
        Go on with a try after `begin_try_nowait` as after `begin_try`.

        Raises:
            BaseException: Why `write_whole` has failed, if it was not for the disk.
        """
        self._part = Part()
        call, self._whole = self._whole, None
        if call is not None:
            with contextlib.suppress(OSError):  # it comes again, and is reported then
                call.unwrap()

    def abandon(self) -> Callable[[], Awaitable[None]] | None:
        """
        Give a try up after `begin_try_nowait`.

        Returns:
            Waits for the thread that may be giving the file its name, if there is one.
        """
        call, self._whole = self._whole, None
        if call is None:
            return None
        call.give_up_steps()
        return call.wait

    def _is_nothing_there(self) -> bool:
        """Whether neither the file nor its part is there, as far as one look can tell."""
        if monotonic() < self._absent_until:
            self._absent_until = 0.0  # the next try may find the part of this one
            return True
        text = self._naming.text
        if text is None or self._has_condition:
            return False
        return self._is_free(text) and self._is_free(self._naming.part_text)

    def _is_free(self, path: str) -> bool:
        """Whether nothing is at a path in the folder, as far as one look in the loop can tell."""
        if is_absent(path, self._naming.folder):
            return True
        try:
            return look_for(path) is None
        except OSError:
            return False  # a thread looks closer

    def headers(self) -> Mapping[str, str]:
        """Return the headers of the next try."""
        writer = self._writer
        if writer.asked is Asked.REST:
            assert writer.kept is not None
            return fields_for_rest(writer.kept)
        if writer.asked is Asked.NEWER:
            assert writer.version is not None
            return fields_for_newer(writer.version)
        return {} if self._names_coding else IDENTITY

    async def accept(self, head: Head) -> Taking:
        """See `Sink.accept`."""
        writer = self._writer
        if writer.asked is Asked.WHOLE and self._naming.path is not None:
            length = plain_length(head)
            if length is not None and (writer.max_body is None or length <= writer.max_body):
                # The most common answer, and the same as below.
                writer.decision = Decision(Action.WRITE, length, length)
                writer.begin_anew(head)
                return self._begin_body()
        facts = range_head(head.status, head.fields, head.url)
        kept = writer.kept
        if writer.asked is Asked.NEWER and writer.version is not None:
            kept = Kept(0, writer.version)
        decision = decide(writer.asked, facts, kept)
        action = decision.action
        if action is Action.NO_FILE:
            return Taking.MEMORY
        if action is Action.PROTOCOL or action is Action.RESTART:
            writer.may_continue = False
            raise self._refusal(head, again=action is Action.RESTART)
        if writer.max_body is not None and (decision.end or 0) > writer.max_body:
            raise TooLarge(writer.max_body)
        if kept is not None:
            writer.version = kept.version
        writer.decision = decision
        if action is Action.COMPLETE or action is Action.UNCHANGED:
            return Taking.NOTHING
        had_name = self._naming.path is not None
        path = self._naming.name(head)
        if not had_name and await _disk.call(partial(writer.look_at, path)) is not None:
            writer.decision = Decision(Action.UNCHANGED)
            return Taking.NOTHING
        if action is Action.WRITE:
            writer.begin_anew(head)
        return self._begin_body()

    def _begin_body(self) -> Taking:
        """Note that a body is being received."""
        self._began = anyio.current_time(), 0 if self._writer.begins_anew else self.received
        self._under_way[self] = None
        return Taking.BODY

    def _refusal(self, head: Head, *, again: bool) -> SinkFailure:
        if again:
            return SinkFailure(
                FailureKind.protocol,
                f"the rest of the file was asked for, and the answer {head.status} is not it",
                again=self._writer.may_repeat(),
            )
        return SinkFailure(
            FailureKind.protocol, f"the answer {head.status} is not the file that was asked for"
        )

    def decode_by(self, decode: Decode) -> None:
        """See `Sink.decode_by`."""
        assert self._part is not None
        self._writer.decode_by(decode, self._part)

    async def write(self, piece: bytes | memoryview, refill: Refill | None = None) -> int:
        """See `Sink.write`."""
        self._waiting += len(piece)
        # A body that is not there as a whole has its part locked while the rest is waited for.
        is_due = self._waiting >= AT_ONCE or (
            self._writer.begins_anew and self._waiting != self.length
        )
        if not is_due:
            self._pieces.append(bytes(piece))  # not copied if it is `bytes`
            return len(piece)
        part = self._part
        assert part is not None
        write = partial(self._writer.write, part, [*self._take_pieces(), piece])
        if refill is not None and isinstance(piece, memoryview):
            go_on = partial(self._writer.go_on, part, refill, piece, _disk.are_others_waiting)
            refilled = await _disk.receive(write, go_on)
            if refilled is not None:
                return len(piece) + refilled
        # The connection receives meanwhile, as much as it holds.
        await _disk.call(write)
        return len(piece)

    async def finish(self) -> Saved:
        """See `Sink.finish`; if there is something to examine, the file is its part as yet."""
        part = self._part
        assert part is not None
        pieces = self._take_pieces()
        if self.examine is None:
            size = sum(map(len, pieces))
            if self._writer.is_whole(part, size):
                return await self._finish_whole(part, pieces)
            return await _disk.call(partial(self._writer.finish, part, pieces))
        found = await _disk.call(partial(self._writer.verify, part, pieces))
        if found is not None:
            return found
        self.is_held = True
        return Saved(part.path, part.size)

    async def _finish_whole(self, part: Part, pieces: list[bytes]) -> Saved:
        """Write a file whose body is there as a whole, together with others."""
        call = self._writer.whole_body(part, pieces, running_loop())
        _disk.begin_whole(call)
        self._endings.append(call.wait)
        try:
            await call.wait()
        finally:
            call.give_up_steps()
        self._endings.pop()
        try:
            saved: Saved | None = call.unwrap()
        except OSError as error:
            raise SinkFailure(FailureKind.disk, error=error) from None
        if saved is None:
            return await _disk.call(partial(self._writer.finish, part, pieces))
        part.close()
        return saved._replace(path=Path(saved.path))

    async def complete(self) -> Saved:
        """
        Give the file its name.

        Raises:
            SinkFailure: It cannot have it.
        """
        assert self._part is not None
        return await _disk.call(partial(self._writer.complete, self._part))

    async def refuse(self) -> None:
        """Remove the body, of which `examine` has returned what is wrong."""
        assert self._part is not None
        await _disk.call(partial(self._writer.refuse, self._part))

    async def end_try(self) -> None:
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
        keep = partial(self._writer.keep, part, pieces)
        if (ended := _disk.submit(keep)) is None:
            return
        self._endings.append(ended)
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            for ending in self._endings:
                await ending()

    def _take_pieces(self) -> list[bytes]:
        pieces, self._pieces, self._waiting = self._pieces, [], 0
        return pieces


def own_fields(request: Request) -> frozenset[str]:
    """Return the names of the header fields that a request itself has, in lower case."""
    if request.headers is None:
        return frozenset()
    return frozenset(httpx.Headers(request.headers))  # pyright: ignore[reportArgumentType]
