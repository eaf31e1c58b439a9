"""The progress bar of rich as a reporter. rich is imported only here."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

from asyncbatch._progress._line import shown_files
from asyncbatch._progress._progress import Progress
from asyncbatch._results._summary import shown_rate


class RichReporter:
    """Shows progress as a bar of rich on stderr, from the first update on."""

    def __init__(self, total: int | None) -> None:
        # Drawn only at our updates, so that no thread is needed.
        self._bar = Bar(
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("[red]{task.fields[failed]}"),
            # A name may contain what looks like markup.
            TextColumn(
                "{task.fields[files]}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis"),
            ),
            console=Console(stderr=True),
            auto_refresh=False,
        )
        self._task = self._bar.add_task("", total=total, rate="", failed="", files="")

    def update(self, progress: Progress) -> None:
        """Draw the bar again."""
        if not self._bar.live.is_started:
            self._bar.start()
        try:
            self._draw(progress)
        except BaseException:
            # A started bar redirects stdout.
            self._bar.stop()
            raise

    def close(self, progress: Progress) -> None:
        """Draw the bar for the last time, and keep it on the screen."""
        self.update(progress)
        self._bar.stop()

    def _draw(self, progress: Progress) -> None:
        self._bar.update(
            self._task,
            completed=progress.done,
            total=progress.total,
            rate=shown_rate(progress.rate),
            failed=f"{progress.failed:,} failed" if progress.failed else "",
            files="  ".join(shown_files(progress)),
            refresh=True,
        )
