"""The bar of our own: one line where it can be redrawn, plain lines elsewhere."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import attrs
import pytest

from asyncbatch import FileProgress
from asyncbatch._progress._line import NAME_LENGTH, LineReporter
from tests.samples import progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """Return the lines that one sees in the end."""
        return [self._seen(line).rstrip() for line in self.getvalue().split("\n")]

    def _seen(self, line: str) -> str:
        shown = ""
        for drawn in line.split("\r"):
            shown = drawn + shown[len(drawn) :]
        return shown


class Broken(Terminal):
    """A terminal that went away."""

    def __init__(self) -> None:
        super().__init__()
        self.tries = 0

    def write(self, _: str) -> int:
        self.tries += 1
        raise BrokenPipeError


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


def test_one_line_is_drawn_again_and_again():
    """The terminal shows the last state alone, and no end of line before the end."""
    terminal = Terminal()
    reporter = LineReporter(terminal)

    reporter.update(progress(succeeded=10, in_flight=30, elapsed=1.0))
    reporter.update(progress(succeeded=30, failed=20, in_flight=7, elapsed=2.0))

    assert terminal.screen() == [
        "[############------------]  50/100  25/s  ETA 0:02  20 failed  7 in flight  0 B"
    ]


def test_a_shorter_line_leaves_nothing_of_the_longer_one():
    """Blanks are drawn over the rest."""
    terminal = Terminal()
    reporter = LineReporter(terminal)

    reporter.update(progress(total=None, succeeded=10, in_flight=1_000_000, retries=1_000_000))
    reporter.update(progress(total=None, succeeded=20, in_flight=1))

    assert terminal.screen() == ["20 done  20/s  0:01  1 in flight  0 B"]


@pytest.mark.parametrize("columns", [1, 5, 10, 20, 39, 40, 41, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int):
    """A wrapped line could not be redrawn; the last column stays free."""
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal = Terminal()
    reporter = LineReporter(terminal)

    reporter.update(progress(succeeded=50, failed=12, retries=5, in_flight=50, bytes=10**9))

    (line,) = terminal.screen()
    assert len(line) <= max(columns - 1, 1)
    assert "62/100"[: max(columns - 1, 1)] in line


def test_without_a_total_there_is_no_bar_and_no_end_in_sight():
    """The time spent is shown in place of the time left."""
    terminal = Terminal()

    LineReporter(terminal).update(progress(total=None, succeeded=1234, elapsed=75.0))

    assert terminal.screen() == ["1,234 done  16.5/s  1:15  0 in flight  0 B"]


def test_the_rate_shown_is_the_present_one():
    """After a long pause the bar tells the new speed, not the mean since the beginning."""
    terminal = Terminal()
    reporter = LineReporter(terminal)

    for tick in range(1, 101):
        reporter.update(progress(total=None, succeeded=tick, elapsed=1000 + tick / 10))

    assert "10/s" in terminal.screen()[0]


def test_the_end_leaves_one_line():
    """The bar gives way to what is worth keeping, and the cursor is on a new line."""
    terminal = Terminal()
    reporter = LineReporter(terminal)

    reporter.update(progress(succeeded=10, in_flight=30, elapsed=1.0))
    reporter.close(progress(succeeded=97, failed=3, bytes=5000, elapsed=2.0))

    assert terminal.screen() == [
        "100 of 100 done in 2 s (50/s, 5 kB), 97 succeeded, 3 failed",
        "",
    ]


def test_a_batch_shorter_than_the_first_update_has_its_last_line():
    """Even if nothing was ever drawn."""
    terminal = Terminal()

    LineReporter(terminal).close(progress(total=None, succeeded=2, elapsed=0.05))

    assert terminal.screen() == ["2 done in 50 ms (40/s, 0 B), 2 succeeded", ""]


def test_failures_are_red():
    """What went wrong stands out, and the colour ends there."""
    terminal = Terminal()
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("NO_COLOR")
        LineReporter(terminal).update(progress(succeeded=10, failed=3))

    assert "\x1b[31m3 failed\x1b[0m" in terminal.getvalue()


def test_no_color_leaves_no_escape_code():
    """As https://no-color.org asks."""
    terminal = Terminal()
    reporter = LineReporter(terminal)

    reporter.update(progress(succeeded=10, failed=3))
    reporter.close(progress(succeeded=10, failed=3))

    assert "\x1b" not in terminal.getvalue()


def test_where_it_is_no_terminal_there_is_a_line_every_ten_seconds():
    """A log file gets few, whole, plain lines."""
    log = io.StringIO()
    reporter = LineReporter(log)

    for tick in range(1, 256):
        reporter.update(progress(total=None, succeeded=tick, failed=1, elapsed=tick / 10))
    reporter.close(progress(total=None, succeeded=255, failed=1, elapsed=25.6))

    assert log.getvalue().splitlines() == [
        "101 done  10/s  0:10  1 failed  0 in flight  0 B",
        "201 done  10/s  0:20  1 failed  0 in flight  0 B",
        "256 done in 25.6 s (10/s, 0 B), 255 succeeded, 1 failed",
    ]


def test_a_dumb_terminal_is_none(monkeypatch: pytest.MonkeyPatch):
    """Emacs and CI logs set TERM=dumb: they cannot redraw."""
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal()

    LineReporter(terminal).update(progress(succeeded=1))

    assert terminal.getvalue() == ""


def test_a_stream_that_went_away_is_left_alone():
    """The first error is the last try."""
    terminal = Broken()
    reporter = LineReporter(terminal)

    reporter.update(progress())
    reporter.update(progress())
    reporter.close(progress())

    assert terminal.tries == 1


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_a_closed_stream_is_left_alone(stream: type[io.StringIO]):
    """Asking a closed stream whether it is a terminal is an error already."""
    closed = stream()
    closed.close()
    reporter = LineReporter(closed)

    reporter.update(progress())
    reporter.close(progress())


def test_a_program_without_stderr_shows_nothing(monkeypatch: pytest.MonkeyPatch):
    """`pythonw` and some services have `None` there."""
    monkeypatch.setattr(sys, "stderr", None)
    reporter = LineReporter()

    reporter.update(progress())
    reporter.close(progress())


def test_stderr_is_looked_up_at_each_line(monkeypatch: pytest.MonkeyPatch):
    """One who redirects stderr in between gets what comes after."""
    reporter = LineReporter()
    later = io.StringIO()
    monkeypatch.setattr(sys, "stderr", later)

    reporter.close(progress(succeeded=100))

    assert later.getvalue().startswith("100 of 100 done")


@pytest.mark.parametrize(
    ("left", "text"), [(0.1, "0:01"), (6.2, "0:07"), (59.5, "1:00"), (3600, "1:00:00")]
)
def test_the_time_left_is_shown_as_on_a_clock(left: float, text: str):
    """Rounded up: what is left is never nothing before the end."""
    terminal = Terminal()

    LineReporter(terminal).update(progress(total=20, succeeded=10, elapsed=left))

    assert f"ETA {text} " in terminal.screen()[0]


class Full(Terminal):
    """A terminal that does not block, and has no room the first time."""

    is_full = True

    def write(self, text: str) -> int:
        if self.is_full:
            self.is_full = False
            raise BlockingIOError
        return super().write(text)


def test_a_terminal_without_room_is_drawn_to_again():
    """Where another program has made it so that it does not block."""
    terminal = Full()
    reporter = LineReporter(terminal)

    reporter.update(progress(succeeded=10, elapsed=1.0))
    reporter.close(progress(succeeded=100, elapsed=2.0))

    assert "100 of 100 done" in terminal.getvalue()


def test_the_last_hosts_are_named():
    """The line names the hosts that the end of a batch waits for; two at most, if there is room."""
    terminal = Terminal()
    reporter = LineReporter(terminal)

    reporter.update(progress(succeeded=97, in_flight=3, hosts=("a.test", "b.test", "c.test")))
    several = terminal.screen()[0]
    reporter.update(progress(succeeded=99, in_flight=1, hosts=("c.test",)))
    one = terminal.screen()[0]

    assert "at a.test, b.test, …" in several
    assert "at c.test" in one


def test_files_under_way_are_named_with_their_rates(monkeypatch: pytest.MonkeyPatch):
    """The first two, with their share if the size is known; then the bytes in all have a rate."""
    monkeypatch.setenv("COLUMNS", "300")
    terminal = Terminal()
    reporter = LineReporter(terminal)
    files = (
        FileProgress(path=Path("d/a.bin"), received=250_000, size=1_000_000, rate=50_000.0),
        FileProgress(path=Path(f"d/b\n{'b' * 99}"), received=3_000, size=None, rate=1_000.0),
        FileProgress(path=Path("d/c.bin"), received=1, size=2, rate=1.0),
    )
    reporter.update(attrs.evolve(progress(total=3, bytes=500_000, elapsed=5.0), files=files))
    line = terminal.screen()[-1]

    assert "500 kB at 100 kB/s" in line
    assert "a.bin 25 % 250 kB at 50 kB/s" in line
    assert f"b?{'b' * (NAME_LENGTH - 3)}… 3 kB at 1 kB/s" in line
    assert "c.bin" not in line
