"""
Where a journal meets a batch: a filter of its input, and a listener of its results.

The input looks each request up and lets through those that are to be sent. The output holds each
result back until it is written. Before the first byte of a request that must not be sent twice, the
batch waits for `announce`.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from time import time as wall_time
from typing import Any

import anyio

from asyncbatch._batch import Shared
from asyncbatch._batch._input import END, Input, Settled
from asyncbatch._batch._make_result import rejected
from asyncbatch._batch._output import Output
from asyncbatch._files import Files
from asyncbatch._journal._answer import Heads
from asyncbatch._journal._earlier import AT_ONCE
from asyncbatch._journal._identity import Identifier, is_with_key, key_of
from asyncbatch._journal._journal import Journal
from asyncbatch._journal._plain import PlainResults, url_of_plain
from asyncbatch._journal._policy import Decision, may_be_repeated, statuses_of
from asyncbatch._journal._record import (
    file_of,
    kept_of,
    record_before_sending,
    result_of,
)
from asyncbatch._journal._saved import claim, is_in_place, names_file
from asyncbatch._journal._store import Found, Store
from asyncbatch._journal._writer import Writer
from asyncbatch._schedule import Job
from asyncbatch._values._errors import FailureKind, JournalChanged
from asyncbatch._values._request import Request, Unset, method_of
from asyncbatch._values._result import Result
from asyncbatch._values._retry_policy import RetryPolicy

AHEAD = 64
"""Requests that are looked up together, of an input that runs code of the caller."""

AHEAD_IN_MEMORY = 256
"""The same of a list and the like."""

AHEAD_SERVED = 256
"""The same while all of them are served: each look-up is a change of threads."""

MOST_BYTES = 8 * 1024 * 1024
"""Bytes of bodies that are read at once for requests that are served."""

CLOSE_SECONDS = 10.0
"""How long a cancelled batch waits for the disk. Its thread goes on after that."""

READ_SECONDS = 0.002
"""Seconds of reading the caller's input before what was read is looked up."""


def _no_batch(_: Exception) -> None:
    """Take an error before there is a batch that it ends."""


class Docking:
    """
    A journal that is open for one batch.

    Args:
        journal: The options.
        shared: The state of the fetcher.
        output: Where the results go, once they are written.
        files: Where the bodies go.
    """

    def __init__(self, journal: Journal, shared: Shared, output: Output, files: Files) -> None:
        self._journal = journal
        self._files = files
        # Whether a success in memory is served whatever its age.
        self._serves_plain = journal.max_age is None and files.to is None
        self.has_keys = journal.key is not None
        """Whether the journal has a rule for keys, so that any request may have one."""
        self._retry = shared.retry
        self._lane = shared.trial.lane
        self.fail: Callable[[Exception], object] = _no_batch
        """Called with the error that ends all writing; the batch sets it."""
        self._writer = Writer(self._deliver, self._failed, is_keyed=self.has_keys)
        self.output = JournaledOutput(output, self._writer)
        """The output of the batch."""
        self._identifier: Identifier | None = None
        self._heads = Heads()
        self._plain = PlainResults(self._lane.binding.library, self._heads)
        self._announced: set[int] = set()
        self.is_closed = False
        """Whether it has been closed, or is being closed."""

    async def open(self, options: Mapping[str, Any], warn: Callable[[str], object]) -> None:
        """
        Open the file.

        Args:
            options: The options that change answers.
            warn: Called with the text about those that are not as they were.

        Raises:
            JournalChanged: If they differ and the journal is strict.
            OSError: If the journal cannot be used.
        """
        journal = self._journal
        try:
            store = await self._writer.open(journal.opener())
            secret, before = await self._writer.call(lambda store: (store.secret, store.options()))
            changes = changed_options(before, options)
            if changes and journal.strict:
                text = (
                    f"options differ from those it was written with: {', '.join(changes.values())}"
                )
                raise JournalChanged(store.shown, text, tuple(changes))
            if before != options:
                await self._writer.call(lambda store: store.keep_options(options))
            if changes:
                warn(
                    f"{store.shown} was written with other options, and serves what was fetched "
                    f"with them: {', '.join(changes.values())}"
                )
        except BaseException:
            await self.close()
            raise
        self._identifier = Identifier(secret, self._lane.locate)

    async def flush(self) -> None:
        """Wait until all results are written and delivered, or cannot be."""
        await self._writer.flush()

    async def close(self) -> None:
        """Write all results and close the file, also if the task is cancelled."""
        if self.is_closed:
            return
        self.is_closed = True
        try:
            await self._writer.close()
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await self._writer.close()
            raise

    async def announce(self, job: Job) -> None:
        """Write a request down before it is sent, unless it may be sent twice."""
        item, index = job.request, job.index
        if index in self._announced or self._may_repeat(item):
            return
        key = self.output.keys.get(index)
        assert key is not None
        self._announced.add(index)
        await self._writer.announce(record_before_sending(key, item, wall_time()))

    def key_of(self, item: object) -> Any:
        """Return what the caller identifies a request by, or the error of its key."""
        try:
            return key_of(item, self._journal.key)
        except Exception as error:
            return error

    async def look_up(self, asked: Sequence[Asked]) -> list[Answer]:
        """Look requests up; of the first ones only, if their bodies are large."""
        return await self._writer.call(lambda store: self._look_up(store, asked))

    # In the thread of the journal:

    def _look_up(self, store: Store, asked: Sequence[Asked]) -> list[Answer]:
        answers: list[Answer] = []
        room = MOST_BYTES
        while room > 0 and len(answers) < len(asked):
            part = asked[len(answers) : len(answers) + AT_ONCE]
            urls: Sequence[str | None] = [None] * len(part)
            if self._serves_plain:
                urls = [url_of_plain(item, key) for _, item, key in part]
                served, read = self._plain.take(store, part, urls, room)
                answers += [(b"", result) for result in served]
                room -= read
                part, urls = part[len(served) :], urls[len(served) :]
            if room > 0 and part:
                answers += (found := self._find(store, part, urls, room))
                room -= sum(0 if result is None else len(result.content) for _, result in found)
        return answers

    def _find(
        self, store: Store, asked: Sequence[Asked], urls: Sequence[str | None], most_bytes: int
    ) -> list[Answer]:
        """Look requests up by their identities; of the first ones only, if bodies are large."""
        identifier = self._identifier
        assert identifier is not None
        identities = []
        errors: dict[int, Exception] = {}
        for place, (_, item, key) in enumerate(asked):
            try:
                if isinstance(key, Exception):
                    raise key
                identity = identifier.identify(item, key)
            except Exception as error:
                errors[place] = error
                identity = identifier.refused(item)
            identities.append(identity)
        now = wall_time()
        answers: list[Answer] = []
        again = []
        found = store.find(identities, identifier.nth, most_bytes, urls)
        with contextlib.closing(found):
            for place, (one, (index, item, key)) in enumerate(zip(found, asked, strict=False)):
                refusal = errors.get(place)
                if refusal is None and not one.is_same:
                    text = f"the key {key!r} is that of another request before this one"
                    refusal = ValueError(text)
                if refusal is not None:
                    result = rejected(item, index, refusal, self._lane)
                    answers.append((identifier.refused(item).key, result))
                else:
                    served = self._served(one, index, item, now)
                    if served is None and one.record is not None:
                        again.append(identities[place].key)
                    answers.append((one.key, served))
        if again:
            store.send_again(again)
        return answers

    def _served(self, found: Found, index: int, item: object, now: float) -> Result | None:
        """Return the result from the journal; `None` if the request is to be sent."""
        record = found.record
        if record is None:
            return None
        library = self._lane.binding.library
        is_plain = record.facts is record.kind is None and found.has_body
        if is_plain and self._serves_plain and not names_file(item):
            return result_of(record, found.content, index, item, library, self._heads)
        retry = self._retry_of(item)
        saved = file_of(record)
        has_body = found.has_body
        if record.kind is None:
            has_body = has_body and is_in_place(saved, item, self._files)
        decision = self._journal.rules.decide(
            kept_of(record, now, has_body=has_body),
            may_repeat=self._may_repeat(item),
            statuses=statuses_of(retry),
        )
        if decision is Decision.SEND:
            return None
        if decision is Decision.DOUBT:
            doubt = str(FailureKind.in_doubt)
            record = record._replace(kind=doubt, status=None, head=None, facts=None)
        elif saved is not None:
            claim(saved, self._files)
        return result_of(record, found.content, index, item, library, self._heads)

    def _may_repeat(self, item: object) -> bool:
        if type(item) is str:
            return True
        return may_be_repeated(
            method_of(item), self._retry_of(item), has_idempotency_key=is_with_key(item)
        )

    def _retry_of(self, item: object) -> RetryPolicy | None:
        own = item.retry if isinstance(item, Request) else None
        return self._retry if own is None or isinstance(own, Unset) else own

    # In the event loop:

    def _deliver(self, results: Sequence[Result]) -> None:
        if self._announced:
            self._announced.difference_update(result.index for result in results)
        self.output.deliver(results)

    def _failed(self, error: Exception) -> None:
        self.fail(error)


Asked = tuple[int, object, Any]
"""The index of a request, the request, and what the caller identifies it by."""


Answer = tuple[bytes, Result | None]
"""What a new result of a request is kept by, and its result, if it is not to be sent."""


def changed_options(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """Return a text for each option that is not as it was."""
    return {
        name: f"{name} was {before[name]!r} and is {value!r}"
        for name, value in now.items()
        if name in before and before[name] != value
    }


class JournaledOutput:
    """Passes results on to the output of a batch, each once it is written."""

    def __init__(self, output: Output, writer: Writer) -> None:
        self.is_bounded = output.is_bounded
        self.keys: dict[int, bytes] = {}
        """What the requests under way are kept by, by their index."""
        self._output = output
        self._put = output.put
        self._writer = writer
        # Results that are being written.
        self._held = 0

    @property
    def has_left(self) -> bool:
        """Whether the consumer has left."""
        return self._output.has_left

    def may_go_on(self, unfinished: int, running: int) -> bool:
        """Whether another request may be read and start."""
        return self._output.may_go_on(unfinished + self._held, running + self._held)

    def may_take(self, unfinished: int) -> bool:
        """Whether another request may be read."""
        return self._output.may_take(unfinished + self._held)

    def may_start(self, running: int) -> bool:
        """Whether another request may start."""
        return self._output.may_start(running + self._held)

    def put(self, result: Result) -> None:
        """Take one result; never waits."""
        key = self.keys.pop(result.index, None)
        if key is None:  # it is in the journal already, or its request was never looked up
            self._put(result)
            return
        self._held += 1
        self._writer.add(key, result)

    def deliver(self, results: Sequence[Result]) -> None:
        """Pass results on that have been written."""
        self._held -= len(results)
        put = self._put
        for result in results:
            put(result)


class JournaledInput(Input):
    """
    An input without the requests that the journal has results of; these come as `Settled`.

    Args:
        source: The input.
        docking: The journal.
    """

    def __init__(self, source: Input, docking: Docking) -> None:
        self._source = source
        self._docking = docking
        self.read_count = 0
        self.exhausted = False
        self.error = None
        self.is_callers_code = True
        self.is_at_hand = False
        self.take = None
        self.size = source.size
        self._least = self._most = AHEAD if source.is_callers_code else AHEAD_IN_MEMORY
        # Read and not looked up yet, looked up and not handed out yet.
        self._asked: deque[Asked] = deque()
        self._ready: deque[tuple[int, Any]] = deque()
        # Set when `_asked` gets a request, or the source ends; for an async source.
        self._fed = anyio.Event()
        self._room = anyio.Event()

    @property
    def is_async(self) -> bool:
        """Whether reading may wait: it does, for the file."""
        return True

    @property
    def is_ahead(self) -> bool:
        """Whether `read` returns an item that was looked up."""
        return bool(self._ready)

    def settled(self) -> Result | None:
        """Return the result of the next item, if it was looked up and is in the journal."""
        ready = self._ready
        if not ready or type(item := ready[0][1]) is not Settled:
            return None
        del ready[0]
        return item.result

    @property
    def can_be_finished(self) -> bool:
        """Whether `read` returns all that is left without waiting."""
        return self._source.can_be_finished

    @property
    def pump(self) -> Callable[[], Any] | None:
        """Reads the source, in a task of its own; `None` if that never waits."""
        return self._pump if self._source.is_async else None

    def read(self) -> Any:
        """Return the next item; one that was not looked up yet as it is."""
        if self._ready:
            return self._ready.popleft()
        if self._asked:
            index, item, _ = self._asked.popleft()
            return index, item
        numbered = self._source.read()
        self.exhausted, self.error = self._source.exhausted, self._source.error
        return numbered

    async def read_async(self) -> Any:
        """Wait for the next item that was looked up."""
        while not self._ready:
            if not self._asked:
                await self._read_some()
            if not self._asked:
                self.exhausted, self.error = True, self._source.error
                return END
            await self._look_up()
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Close the source and the journal, once all results are written."""
        if self._docking.is_closed:
            return
        try:
            await self._source.aclose()
            await self._docking.flush()
        finally:
            await self._docking.close()

    async def _look_up(self) -> None:
        asked = list(itertools.islice(self._asked, self._most))
        answers = await self._docking.look_up(asked)
        keys, ready, forget = self._docking.output.keys, self._ready.append, self._asked.popleft
        sent = 0
        for (index, item, _), (key, result) in zip(asked, answers, strict=False):
            forget()
            if result is None:
                keys[index] = key
                ready((index, item))
                sent += 1
                continue
            if not result.from_journal:
                keys[index] = key
            ready((index, Settled(result)))
        self._most = self._least if sent else min(2 * self._most, AHEAD_SERVED)
        self._room.set()

    async def _read_some(self) -> None:
        """Read as many requests as there are without waiting, at least one unless it is the end."""
        source = self._source
        if source.is_async:
            while not self._asked and not source.exhausted:
                self._fed = anyio.Event()
                await self._fed.wait()
            return
        clock, read, is_callers_code = time.perf_counter, source.read, source.is_callers_code
        asked, has_keys = self._asked, self._docking.has_keys
        ends_at = clock() + READ_SECONDS
        for _ in range(self._most - len(asked)):
            numbered = read()
            if numbered is END:
                return
            index, item = numbered
            is_without = type(item) is str and not has_keys
            asked.append((index, item, None if is_without else self._docking.key_of(item)))
            if is_callers_code and clock() >= ends_at:
                return

    async def _pump(self) -> None:
        """Read an async source, some requests ahead of what is looked up."""
        source = self._source
        while True:
            while len(self._asked) >= self._most:
                self._room = anyio.Event()
                await self._room.wait()
            numbered = await source.read_async()
            if numbered is END:
                self._fed.set()
                return
            self._add(numbered)
            self._fed.set()

    def _add(self, numbered: tuple[int, Any]) -> None:
        index, item = numbered
        self._asked.append((index, item, self._docking.key_of(item)))
