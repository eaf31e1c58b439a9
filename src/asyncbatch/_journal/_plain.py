"""
The results of most requests of a resumed run: successes of plain GETs among the rows read ahead.

Each is made from its row in one step, without the identity of its request and without a record.
`Store.find` finds all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncbatch._journal._answer import StoredAnswer, StoredHeads
from asyncbatch._journal._bodies import RAW, DamagedBody
from asyncbatch._journal._earlier import RowAhead
from asyncbatch._journal._record import plain_success
from asyncbatch._journal._store import Store, remember
from asyncbatch._values._request import plain_url
from asyncbatch._values._result import Success


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
        add, answers = results.append, self._answers
        read = 0
        for row, (index, item, _) in zip(rows, asked, strict=False):
            _, ended_at, _, head_id, times, attempts, coding, content, _ = row
            if coding != RAW:
                try:
                    content = store.content(coding, content)
                except DamagedBody:
                    break
            answer = answers.get(head_id) or self._answer(store, row)
            add(plain_success(answer, times, ended_at, attempts, content, index, item))
            read += len(content)
            if read >= most_bytes:
                break
        if len(results) < len(rows):
            store.put_back(rows[len(results) :])
        return results, read

    def _answer(self, store: Store, row: RowAhead) -> StoredAnswer:
        _, _, status, head_id, *_ = row
        head = self._heads.parsed(store.head(head_id))
        answer = StoredAnswer(self._library, status, head, None, self._heads.default_encoding)
        remember(self._answers, head_id, answer)
        return answer


def url_of_plain(item: object, key: object) -> str | None:
    """Return the URL of a plain GET without a key of its own; `None` for any other request."""
    if key is not None:
        return None
    return item if type(item) is str else plain_url(item)
