"""
`Lookup`: finds the results of requests in a journal.

It runs in the thread of the journal. The event loop asks it only whether a request may be repeated.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from time import time as wall_time
from typing import Any, NamedTuple

from asyncbatch._batch import Shared
from asyncbatch._batch._make_result import rejected
from asyncbatch._files import Files
from asyncbatch._journal._answer import StoredHeads
from asyncbatch._journal._earlier import AT_ONCE
from asyncbatch._journal._identity import Identifier, is_with_key
from asyncbatch._journal._journal import Journal
from asyncbatch._journal._plain import PlainResults, url_of_plain
from asyncbatch._journal._policy import JournalRules, ReuseDecision, may_be_repeated, statuses_of
from asyncbatch._journal._record import file_of, kept_of, result_of
from asyncbatch._journal._saved import destination_of, names_file, place_of
from asyncbatch._journal._schema import naming_damage
from asyncbatch._journal._store import Found, Store
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._folder import Folder
from asyncbatch._values._request import Request, Unset, method_of
from asyncbatch._values._result import Result
from asyncbatch._values._retry_policy import RetryPolicy

MOST_BYTES = 8 * 1024 * 1024
"""Bytes of bodies that are read at once for requests that are served."""

Asked = tuple[int, object, Any]
"""The index of a request, the request, and what the caller identifies it by."""

Answer = tuple[bytes, Result | None]
"""The key for a new result of a request; and its result, if the request need not be sent."""


class Answers(NamedTuple):
    """What was found for some requests, or for the first of them."""

    served: list[Result]
    """The results of the first requests, all of them from the journal."""
    others: list[Answer]
    """The answers for the requests after these."""


class Lookup:
    """
    Finds requests in the file, and decides which of them are served from it.

    Args:
        journal: The options.
        shared: The state of the fetcher.
        files: Where the bodies go.
    """

    def __init__(self, journal: Journal, shared: Shared, files: Files) -> None:
        self._rules = JournalRules(journal.retry, journal.max_age)
        self._files = files
        # Whether a success in memory is served at any age.
        self._serves_plain = journal.max_age is None and files.to is None
        self._retry = shared.retry
        self._lane = shared.attempter.lane
        self._identifier: Identifier | None = None
        self._heads = StoredHeads(self._lane.default_encoding)
        self._plain = PlainResults(self._lane.binding.library, self._heads)

    def identify_with(self, secret: bytes) -> None:
        """Take the secret of the file, which identities are made with; call it before the first."""
        self._identifier = Identifier(secret, self._lane.locate)

    def may_repeat(self, item: object) -> bool:
        """Whether a request may be sent although it may have been before."""
        if type(item) is str:
            return True
        return may_be_repeated(
            method_of(item), self._retry_of(item), has_idempotency_key=is_with_key(item)
        )

    def answers(self, store: Store, asked: Sequence[Asked]) -> Answers:
        """
        Look requests up; only the first of them, if their bodies are large.

        Raises:
            JournalError: If the file cannot be read.
        """
        with naming_damage(store.shown):
            return self._answers(store, asked)

    def _answers(self, store: Store, asked: Sequence[Asked]) -> Answers:
        served: list[Result] = []
        others: list[Answer] = []
        room = MOST_BYTES
        while room > 0 and (done := len(served) + len(others)) < len(asked):
            part = asked[done : done + AT_ONCE]
            urls: Sequence[str | None] = [None] * len(part)
            if self._serves_plain:
                urls = [
                    item if type(item) is str and key is None else url_of_plain(item, key)
                    for _, item, key in part
                ]
                results, read = self._plain.take_results(store, part, urls, room)
                if others:
                    others += [(b"", result) for result in results]
                else:
                    served += results
                room -= read
                part, urls = part[len(results) :], urls[len(results) :]
            if room > 0 and part:
                others += (found := self._find(store, part, urls, room))
                room -= sum(0 if result is None else len(result.content) for _, result in found)
        return Answers(served, others)

    def _find(
        self, store: Store, asked: Sequence[Asked], urls: Sequence[str | None], most_bytes: int
    ) -> list[Answer]:
        """Look requests up by their identities; only the first of them, if bodies are large."""
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
                if (refusal := errors.get(place)) is not None:
                    answers.append((one.key, rejected(item, index, refusal, self._lane)))
                elif not one.is_same:
                    text = f"the key {key!r} is that of another request before this one"
                    result = rejected(item, index, ValueError(text), self._lane)
                    answers.append((identifier.beside(one.key), result))
                else:
                    served = self._served(store, one, index, item, now)
                    if served is None and one.record is not None:
                        again.append(identities[place].key)
                    key = one.key
                    if served is not None and not served.from_journal:
                        key = identifier.beside(key)  # its result stays where it is
                    answers.append((key, served))
        if again:
            store.send_again(again)
        return answers

    def _served(
        self, store: Store, found: Found, index: int, item: object, now: float
    ) -> Result | None:
        """Return the result from the journal; `None` if the request must be sent."""
        record = found.record
        if record is None:
            return None
        library = self._lane.binding.library
        is_plain = record.facts is record.kind is None and found.has_body
        if is_plain and self._serves_plain and not names_file(item):
            return result_of(record, found.content, index, item, library, self._heads)
        to, saved, path = destination_of(item, self._files), file_of(record), None
        has_body = found.has_body
        if record.kind is None:
            if to is not None and saved is not None:
                path = place_of(saved, item, to)
            has_body = has_body and (path is not None or (to is None and saved is None))
        kept, may_repeat = kept_of(record, now, has_body=has_body), self.may_repeat(item)
        statuses = statuses_of(self._retry_of(item))
        decision = self._rules.decide(kept, may_repeat=may_repeat, statuses=statuses)
        if decision is ReuseDecision.SEND:
            if not may_repeat and not kept.is_undone:
                store.keep_doubt(found.key)
            return None
        if decision is ReuseDecision.DOUBT:
            doubt = str(FailureKind.in_doubt)
            record = record._replace(kind=doubt, status=None, head=None, facts=None)
        elif path is not None:
            try:
                self._files.claim(path.parent, path.name, renames=False)
            except ValueError as error:
                # A file that gets a number has looked at this name, and has left it.
                if not (isinstance(to, Folder) and to.exists == "rename"):
                    return rejected(item, index, error, self._lane)
        return result_of(record, found.content, index, item, library, self._heads, path)

    def _retry_of(self, item: object) -> RetryPolicy | None:
        own = item.retry if isinstance(item, Request) else None
        return self._retry if own is None or isinstance(own, Unset) else own
