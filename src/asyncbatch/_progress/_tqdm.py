"""The progress bar of tqdm as a reporter. tqdm is imported only here."""

from __future__ import annotations

import sys
from typing import Any

from tqdm.auto import tqdm

from asyncbatch._progress._line import shown_files
from asyncbatch._progress._progress import Progress


class _Bar(tqdm):  # type: ignore[type-arg]  # generic for the checker only
    # Else each bar would start a thread that outlives it, for updates that are overdue. Ours are
    # not.
    monitor_interval = 0


class TqdmReporter:
    """Shows progress as a bar of tqdm on stderr, from the first update on."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        # None before the first update.
        self._bar: Any = None

    def update(self, progress: Progress) -> None:
        """Draw the bar again."""
        if self._bar is None:
            self._bar = _Bar(total=self._total, unit="req", file=sys.stderr, mininterval=0)
        self._bar.n = progress.done
        self._bar.total = progress.total
        failed = [f"{progress.failed:,} failed"] if progress.failed else []
        self._bar.set_postfix_str(", ".join([*failed, *shown_files(progress)]), refresh=False)
        self._bar.refresh()

    def close(self, progress: Progress) -> None:
        """Draw the bar for the last time, and keep it on the screen."""
        self.update(progress)
        self._bar.close()
