"""
The results of most requests of a resumed run: successes of plain GETs among the rows read ahead.

Each is made from its row in one step, without the identity of its request and without a record.
`Store.find` finds all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncbatch._journal._answer import StoredAnswer, StoredHeads
from asyncbatch._journal._bodies import DamagedBody
from asyncbatch._journal._earlier import COLUMNS
from asyncbatch._journal._record import plain_success
from asyncbatch._journal._store import PlainRow, Store, remember
from asyncbatch._values._request import plain_url
from asyncbatch._values._result import Success

_ENDED_AT, _STATUS, _HEAD, _TIMES, _ATTEMPTS = map(
    COLUMNS.split(", ").index, ("ended_at", "status", "head_id", "times", "attempts")
)


class PlainResults:
    """
    Makes results from rows.

    Args:
        library: The module `httpx` or `httpx2`, whose responses are made.
        heads: The parsed heads.
    """

    def __init__(self, library: Any, heads: StoredHeads) -> None:
        self._library = library
        self._heads = heads
        # By the numbers of their heads. One for all results with a head: they are values, and the
        # garbage collector has fewer objects to visit.
        self._answers: dict[int, StoredAnswer] = {}

    def take_results(
        self,
        store: Store,
        asked: Sequence[tuple[int, object, Any]],
        urls: Sequence[str | None],
        most_bytes: int,
    ) -> tuple[list[Success], int]:
        """
        Take the results of the first requests, as far as they are such successes.

        Args:
            store: The journal.
            asked: The requests, each with its index before it; at most `AT_ONCE`.
            urls: The URLs of those that may be served so, as `url_of_plain` returns them.
            most_bytes: Bytes of bodies after which no further one is read.

        Returns:
            The results, and the bytes of their bodies.
        """
        rows = store.take_plain(urls)
        results: list[Success] = []
        read = 0
        for row, (index, item, _) in zip(rows, asked, strict=False):
            try:
                content = store.content(row)
            except DamagedBody:
                break
            answer = self._answers.get(row[_HEAD]) or self._answer(store, row)
            results.append(
                plain_success(
                    answer, row[_TIMES], row[_ENDED_AT], row[_ATTEMPTS], content, index, item
                )
            )
            read += len(content)
            if read >= most_bytes:
                break
        if len(results) < len(rows):
            store.put_back(rows[len(results) :])
        return results, read

    def _answer(self, store: Store, row: PlainRow) -> StoredAnswer:
        head = self._heads.parsed(store.head(row[_HEAD]))
        encoding = self._heads.default_encoding
        answer = StoredAnswer(self._library, row[_STATUS], head, None, encoding)
        remember(self._answers, row[_HEAD], answer)
        return answer


def url_of_plain(item: object, key: object) -> str | None:
    """Return the URL of a plain GET without a key of its own; `None` for any other request."""
    if key is not None:
        return None
    return item if type(item) is str else plain_url(item)
