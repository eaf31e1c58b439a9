"""
`OpenJournal`: the journal of one batch, and `JournaledOutput`, a listener of its results.

The output holds each result back until it is written. Before the first byte of a request that must
not be sent twice, the batch waits for `announce`. The input is filtered by `JournaledInput`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import time as wall_time
from typing import Any

import anyio

from asyncbatch._batch import Shared
from asyncbatch._batch._output import Output
from asyncbatch._files import Files
from asyncbatch._journal._identity import key_of
from asyncbatch._journal._journal import Journal
from asyncbatch._journal._lookup import Answers, Asked, Lookup
from asyncbatch._journal._record import record_before_sending
from asyncbatch._journal._writer import Writer
from asyncbatch._schedule import Job
from asyncbatch._values._errors import JournalChanged
from asyncbatch._values._result import Result

CLOSE_SECONDS = 10.0
"""How long a cancelled batch waits for the disk. Its thread goes on after that."""


def _no_batch(_: Exception) -> None:
    """Ignore an error: the batch that it would end does not exist yet."""


class OpenJournal:
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
        self.has_keys = journal.key is not None
        """Whether the journal has a rule for keys, so that any request may have one."""
        self._lookup = Lookup(journal, shared, files)
        self.fail: Callable[[Exception], object] = _no_batch
        """Called with the error that ends all writing; the batch sets it."""
        self._writer = Writer(
            self._deliver, self._failed, is_keyed=self.has_keys, has_files=files.to is not None
        )
        self.output = JournaledOutput(output, self._writer)
        """The output of the batch."""
        self._announced: set[int] = set()
        self.is_closed = False
        """Whether it has been closed, or is being closed."""

    async def open(self, options: Mapping[str, Any], warn: Callable[[str], object]) -> None:
        """
        Open the file.

        Args:
            options: The options that change answers.
            warn: Called with the text about options that have changed.

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
        self._lookup.identify_with(secret)

    async def flush(self) -> None:
        """Wait until all results are written and delivered, or cannot be."""
        await self._writer.flush()

    async def close(self) -> None:
        """Write all results and close the file, also if the task is cancelled."""
        self.is_closed = True
        try:
            await self._writer.close()
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await self._writer.close()
            raise

    async def announce(self, job: Job) -> None:
        """Record a request before it is sent, unless it may be sent twice."""
        item, index = job.request, job.index
        if index in self._announced or self._lookup.may_repeat(item):
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

    async def look_up(self, asked: Sequence[Asked]) -> Answers:
        """Look requests up; only the first of them, if their bodies are large."""
        return await self._writer.call(lambda store: self._lookup.answers(store, asked))

    def _deliver(self, results: Sequence[Result]) -> None:
        if self._announced:
            self._announced.difference_update(result.index for result in results)
        self.output.deliver(results)

    def _failed(self, error: Exception) -> None:
        self.fail(error)


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
        """The keys of the requests in flight, by their index."""
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

    def room(self, unfinished: int, running: int) -> int:
        """Return for how many results, whose requests are not sent, there is room."""
        return self._output.room(unfinished + self._held, running + self._held)

    def put(self, result: Result) -> None:
        """Take one result; never waits."""
        key = self.keys.pop(result.index, None)
        if key is None:  # it is in the journal already, or its request was never looked up
            self._put(result)
            return
        self._held += 1
        self._writer.add(key, result)

    def put_all(self, results: Sequence[Result]) -> None:
        """Take several results that come from the journal."""
        self._output.put_all(results)

    def deliver(self, results: Sequence[Result]) -> None:
        """Pass results on that have been written."""
        self._held -= len(results)
        self._output.put_all(results)
