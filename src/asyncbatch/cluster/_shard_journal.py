"""
The journal of a shard: open until the table of the shard is complete, and then removed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import attrs

from asyncbatch import Journal
from asyncbatch._journal._journal import opened
from asyncbatch._journal._store import Store

from ._layout import remove_journal


class _KeptStore(Store):
    """A store that its batch leaves open, and locked."""

    is_kept = False

    def close(self) -> None:
        """Close it, unless it is kept."""
        if not self.is_kept:
            super().close()


@attrs.frozen
class ShardJournal(Journal):
    """
    A journal that a batch leaves open: `close` or `discard` it afterwards. Both block.

    Closing a journal copies its log to it, and waits for the disk twice or more. When the results
    of a shard are in their place, its journal is of no use, and need not be whole.
    """

    # The last one that was opened, if it is open.
    _stores: list[_KeptStore] = attrs.field(factory=list, init=False, repr=False, eq=False)
    # Set if this was closed before the file was open: the batch then closes the file itself.
    _is_closed: threading.Event = attrs.field(
        factory=threading.Event, init=False, repr=False, eq=False
    )

    def opener(self) -> Callable[[], Store]:
        """Return the function that opens the file for writing. It blocks."""
        return self._open

    def _open(self) -> Store:
        store = opened(self, _KeptStore)
        # In this order: a concurrent `close` finds the store, or is seen here.
        self._stores.append(store)
        store.is_kept = not self._is_closed.is_set()
        return store

    def close(self) -> None:
        """Close the file, if it is open, or else as soon as its batch leaves it."""
        self._is_closed.set()
        while self._stores:
            store = self._stores.pop()
            store.is_kept = False
            store.close()

    def discard(self) -> None:
        """Close the file, and remove it and what lies beside it."""
        for store in self._stores:
            store.forgo_disk()
        self.close()
        remove_journal(self.path)
