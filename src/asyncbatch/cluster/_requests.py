"""
The requests of the shards on disk: written by the caller's process, read by the workers.

A file is a sequence of pickles. Each has some requests and their positions in the input. The
caller's process has a bounded number of requests in memory, for an input of any length.
"""

from __future__ import annotations

import pickle
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ._options import IMPORTABLE, refuse_unpicklable

AT_ONCE = 256
"""Requests of one shard that are written together."""

MOST = 50_000
"""Requests of all shards that are in memory."""


class RequestsWriter:
    """
    Writes requests to the files of their shards.

    Args:
        path_of: Returns the file of a shard, by its number.
    """

    def __init__(self, path_of: Callable[[int], Path]) -> None:
        self._path_of = path_of
        self._waiting: defaultdict[int, list[tuple[int, Any]]] = defaultdict(list)
        self._held = 0

    def add(self, shard: int, index: int, request: object) -> None:
        """
        Add a request.

        Raises:
            TypeError: If a request cannot be pickled; the message says what of it.
        """
        waiting = self._waiting[shard]
        waiting.append((index, request))
        self._held += 1
        if len(waiting) >= AT_ONCE:
            self._write(shard)
        elif self._held >= MOST:
            self.flush()

    def flush(self) -> None:
        """Write all requests that are still in memory."""
        for shard in list(self._waiting):
            self._write(shard)

    def _write(self, shard: int) -> None:
        waiting = self._waiting.pop(shard)
        self._held -= len(waiting)
        indices = array("q", [index for index, _ in waiting])
        requests = [request for _, request in waiting]
        try:
            text = pickle.dumps((indices, requests), pickle.HIGHEST_PROTOCOL)
        except Exception:
            for index, request in waiting:
                refuse_unpicklable(f"request {index}", request)
            raise
        with self._path_of(shard).open("ab") as file:
            file.write(text)


def read_requests(path: Path) -> Iterator[tuple[array[int], list[Any]]]:
    """
    Yield the requests of a file, some at a time, each with its place in the input.

    Raises:
        TypeError: If they need a class or function that this process cannot import.
    """
    with path.open("rb") as file:
        while file.peek(1):
            try:
                found = pickle.load(file)  # noqa: S301  # written by `RequestsWriter`
            except (AttributeError, ImportError) as error:
                raise TypeError(
                    f"a request cannot be read by the worker: {error}; {IMPORTABLE}"
                ) from error
            yield found
