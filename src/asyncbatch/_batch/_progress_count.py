"""The running count of the results of a batch, for its progress report."""

from __future__ import annotations

from asyncbatch._progress import Progress
from asyncbatch._values._result import Result


class ProgressCount:
    """Counts results."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._succeeded = 0
        self._failed = 0
        self._bytes = 0
        self.retries = 0
        """Number of tries beyond the first; the batch counts them."""

    def add(self, result: Result) -> None:
        """Count `result`."""
        if result.ok:
            self._succeeded += 1
        else:
            self._failed += 1
        self._bytes += len(result.content)

    def progress(self, *, in_flight: int, elapsed: float, hosts: tuple[str, ...] = ()) -> Progress:
        """Return the count so far."""
        return Progress(
            total=self._total,
            succeeded=self._succeeded,
            failed=self._failed,
            retries=self.retries,
            in_flight=in_flight,
            bytes=self._bytes,
            elapsed=elapsed,
            hosts=hosts,
        )
