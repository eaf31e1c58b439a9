"""
The built-in progress bar: one line on stderr, redrawn at each update.

If stderr is not a terminal that can redraw a line, a line is printed every ten seconds, and one at
the end. After a failed write to stderr, nothing more is shown.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections import deque
from typing import TextIO

from asyncbatch._progress._progress import INTERVAL, FileProgress, Progress
from asyncbatch._results._summary import shown_bytes, shown_rate, shown_seconds

PLAIN_INTERVAL = 10.0
RATE_WINDOW = 5.0
MIN_BAR_WIDTH = 10
MAX_BAR_WIDTH = 40
HOSTS_ON_LINE = 2
FILES_ON_LINE = 2
NAME_LENGTH = 24
RED, NORMAL = "\x1b[31m", "\x1b[0m"


class LineReporter:
    """
    Shows progress on one line.

    Args:
        stream: The stream to write to. `None`: `sys.stderr`, looked up at each update, since it may
            be redirected.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        # Whether the last write succeeded.
        self._is_writable = True
        # Length of the line on the terminal; 0: none.
        self._drawn = 0
        # When the next plain line is due, on the batch's clock.
        self._plain_due = PLAIN_INTERVAL
        # (elapsed, done, bytes) of the last updates, for the present rate.
        self._recent: deque[tuple[float, int, int]] = deque(
            [(0.0, 0, 0)], maxlen=round(RATE_WINDOW / INTERVAL)
        )

    def update(self, progress: Progress) -> None:
        """Redraw the line, or print one if it is due."""
        self._recent.append((progress.elapsed, progress.done, progress.bytes))
        if self._can_redraw():
            self._draw(progress)
        elif progress.elapsed >= self._plain_due:
            self._plain_due = progress.elapsed + PLAIN_INTERVAL
            self._write("  ".join(self._parts(progress)) + "\n")

    def close(self, progress: Progress) -> None:
        """Print the last line."""
        text = _last_line(progress)
        if self._can_redraw():
            text = _coloured(text, progress) + " " * max(self._drawn - len(text), 0)
            text = f"\r{text}"
        self._write(f"{text}\n")

    def _draw(self, progress: Progress) -> None:
        # One column stays free: some terminals wrap as soon as the last is written.
        width = max(shutil.get_terminal_size().columns - 1, 1)
        text = _fitted(progress, self._parts(progress), width)
        # Blanks cover the rest of a longer line before; this needs no escape code.
        padding = " " * max(min(self._drawn, width) - len(text), 0)
        self._drawn = len(text)
        self._write(f"\r{_coloured(text, progress)}{padding}")

    def _parts(self, progress: Progress) -> list[str]:
        """Return the parts of the line, the most important first."""
        of_total = " done" if progress.total is None else f"/{progress.total:,}"
        parts = [f"{progress.done:,}{of_total}", shown_rate(self._rate(progress))]
        if progress.remaining is not None:
            parts.append(f"ETA {_shown_time(progress.remaining)}")
        else:
            parts.append(_shown_time(progress.elapsed))
        if progress.failed:
            parts.append(_failures(progress))
        parts.append(f"{progress.in_flight:,} in flight")
        if progress.retries:
            parts.append(f"{progress.retries:,} retries")
        if progress.hosts:
            parts.append(_shown_hosts(progress.hosts))
        parts.append(shown_bytes(progress.bytes))
        if progress.files:
            parts[-1] += f" at {shown_bytes(self._byte_rate(progress))}/s"
            parts.extend(shown_files(progress))
        return parts

    def _rate(self, progress: Progress) -> float:
        then, done, _ = self._recent[0]
        seconds = progress.elapsed - then
        return (progress.done - done) / seconds if seconds > 0 else 0.0

    def _byte_rate(self, progress: Progress) -> float:
        then, _, count = self._recent[0]
        seconds = progress.elapsed - then
        # A try that begins again at 0 takes bytes back.
        return max(progress.bytes - count, 0) / seconds if seconds > 0 else 0.0

    def _can_redraw(self) -> bool:
        stream = self._target()
        try:
            is_terminal = stream is not None and stream.isatty()
        except ValueError:  # it is closed
            return False
        return is_terminal and os.environ.get("TERM") != "dumb"

    def _target(self) -> TextIO | None:
        # A program without a console has None for its stderr.
        return sys.stderr if self._stream is None else self._stream

    def _write(self, text: str) -> None:
        stream = self._target()
        if stream is None or not self._is_writable:
            return
        try:
            stream.write(text)
            stream.flush()
        except BlockingIOError:  # a non-blocking terminal that is busy: the next update will do
            return
        except (OSError, ValueError):  # a broken pipe, a full disk; closed
            self._is_writable = False


def _fitted(progress: Progress, parts: list[str], width: int) -> str:
    """Return the parts that fit, with a bar if there is room and the total is known."""
    while len(parts) > 1 and len("  ".join(parts)) > width:
        parts = parts[:-1]
    text = "  ".join(parts)
    room = min(width - len(text) - len("[]  "), MAX_BAR_WIDTH)
    if progress.total is None or room < MIN_BAR_WIDTH:
        return text[:width]
    filled = room * min(progress.done, progress.total) // max(progress.total, 1)
    return f"[{'#' * filled:-<{room}}]  {text}"


def _last_line(progress: Progress) -> str:
    # In the format of a summary.
    of_total = f" of {progress.total:,}" if progress.total is not None else ""
    done = f"{progress.done:,}{of_total} done in {shown_seconds(progress.elapsed)}"
    speed = f"({shown_rate(progress.rate)}, {shown_bytes(progress.bytes)})"
    parts = [f"{done} {speed}", f"{progress.succeeded:,} succeeded"]
    if progress.failed:
        parts.append(_failures(progress))
    if progress.retries:
        parts.append(f"{progress.retries:,} retries")
    return ", ".join(parts)


def _shown_hosts(hosts: tuple[str, ...]) -> str:
    shown = ", ".join(hosts[:HOSTS_ON_LINE])
    return f"at {shown}, …" if len(hosts) > HOSTS_ON_LINE else f"at {shown}"


def shown_files(progress: Progress) -> list[str]:
    """Return a text for each of the first files that are being received."""
    return [_shown_file(file) for file in progress.files[:FILES_ON_LINE]]


def _shown_file(file: FileProgress) -> str:
    name = "".join(each if each.isprintable() else "?" for each in file.path.name)
    if len(name) > NAME_LENGTH:
        name = f"{name[: NAME_LENGTH - 1]}…"
    share = f" {100 * file.received // file.size} %" if file.size else ""
    return f"{name}{share} {shown_bytes(file.received)} at {shown_bytes(file.rate)}/s"


def _failures(progress: Progress) -> str:
    return f"{progress.failed:,} failed"


def _coloured(text: str, progress: Progress) -> str:
    # https://no-color.org: any non-empty value switches colours off.
    if os.environ.get("NO_COLOR"):
        return text
    failures = _failures(progress)
    return text.replace(failures, f"{RED}{failures}{NORMAL}") if progress.failed else text


def _shown_time(seconds: float) -> str:
    minutes, second = divmod(math.ceil(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
