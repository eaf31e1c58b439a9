"""From the option `progress` to what shows it."""

from __future__ import annotations

import importlib.util
import io
import logging
import sys
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest

from asyncbatch._progress import FileProgress, Progress, check_progress, open_reporter
from tests.samples import progress


class NotAFunction:
    """Something that can be called, and then has to be awaited."""

    async def __call__(self, progress: Progress) -> None:
        raise AssertionError(progress)


async def awaitable(progress: Progress) -> None:
    """Show nothing."""
    raise AssertionError(progress)


def test_false_shows_nothing():
    """No reporter, so that the batch need not count for it."""
    assert open_reporter(False, total=3) is None


def test_true_shows_our_own_bar(capsys: pytest.CaptureFixture[str]):
    """On stderr, as stdout is the program's."""
    reporter = open_reporter(True, total=3)
    assert reporter is not None

    reporter.close(progress(total=3, succeeded=3))

    shown = capsys.readouterr()
    assert shown.err.startswith("3 of 3 done")
    assert shown.out == ""


@pytest.mark.parametrize("name", ["rich", "tqdm"])
@pytest.mark.parametrize("total", [3, None])
def test_the_bars_of_others_show_the_counts(
    capsys: pytest.CaptureFixture[str], name: Any, total: int | None
):
    """Their bar ends on what the batch counted, on stderr, and stdout is given back."""
    stdout = sys.stdout
    reporter = open_reporter(name, total=total)
    assert reporter is not None

    reporter.update(progress(total=total, succeeded=1))
    reporter.close(progress(total=total, succeeded=1, failed=2))

    shown = capsys.readouterr()
    last = shown.err.replace("\r", "\n").strip().splitlines()[-1]
    assert "2 failed" in last
    assert "3" in last
    assert shown.out == ""
    assert sys.stdout is stdout


@pytest.mark.parametrize("name", ["rich", "tqdm"])
def test_the_bars_of_others_show_files(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: Any
):
    """The first two that are being received, whatever they are called; none at the end."""
    monkeypatch.setenv("COLUMNS", "200")
    files = tuple(
        FileProgress(path=Path("in", f"[red]{letter}.bin"), received=500, size=1000, rate=250.0)
        for letter in "abc"
    )
    reporter = open_reporter(name, total=3)
    assert reporter is not None

    reporter.update(attrs.evolve(progress(total=3), files=files))
    during = capsys.readouterr().err
    reporter.close(progress(total=3, succeeded=3))
    after = capsys.readouterr().err

    if name == "tqdm":  # rich draws on a terminal only, and otherwise the end
        assert "[red]a.bin 50 % 500 B at 250 B/s" in during
        assert "[red]b.bin" in during
        assert "c.bin" not in during
    assert ".bin" not in after


def test_a_bar_of_rich_that_cannot_be_drawn_gives_stdout_back(monkeypatch: pytest.MonkeyPatch):
    """A bar that is shown redirects stdout, and nothing else would end that."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    reporter = open_reporter("rich", total=3)
    assert reporter is not None
    before = sys.stdout

    reporter.update(attrs.evolve(progress(total=3), files=None))  # type: ignore[arg-type]

    assert sys.stdout is before


def test_rich_shows_files_on_a_terminal(monkeypatch: pytest.MonkeyPatch):
    """Their names are shown as they are, also if they look like markup."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    file = FileProgress(path=Path("[red]a.bin"), received=500, size=1000, rate=250.0)
    reporter = open_reporter("rich", total=3)
    assert reporter is not None

    reporter.update(attrs.evolve(progress(total=3), files=(file,)))
    shown = sys.stderr.getvalue()  # type: ignore[attr-defined]  # it was replaced
    reporter.close(progress(total=3, succeeded=3))

    assert "[red]a.bin 50 % 500 B at 250 B/s" in shown


@pytest.mark.parametrize("name", ["rich", "tqdm"])
def test_the_bars_of_others_start_no_thread(capsys: pytest.CaptureFixture[str], name: Any):
    """The batch draws; nobody else does."""
    before = set(threading.enumerate())
    reporter = open_reporter(name, total=3)
    assert reporter is not None

    reporter.update(progress(total=3, succeeded=1))

    assert not set(threading.enumerate()) - before
    reporter.close(progress(total=3, succeeded=3))


def test_a_function_is_called_with_each_progress():
    """At each update and at the end."""
    seen: list[Progress] = []
    reporter = open_reporter(seen.append, total=3)
    assert reporter is not None

    reporter.update(progress(succeeded=1))
    reporter.close(progress(succeeded=3))

    assert seen == [progress(succeeded=1), progress(succeeded=3)]


def test_a_function_that_fails_is_called_no_more(caplog: pytest.LogCaptureFixture):
    """The batch is not lost for it; the log has the traceback, once."""
    calls: list[Progress] = []

    def fail(shown: Progress) -> None:
        calls.append(shown)
        raise ZeroDivisionError("of the caller")

    reporter = open_reporter(fail, total=3)
    assert reporter is not None

    with caplog.at_level(logging.ERROR, logger="asyncbatch"):
        reporter.update(progress(succeeded=1))
        reporter.update(progress(succeeded=2))
        reporter.close(progress(succeeded=3))

    assert len(calls) == 1
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_a_function_that_fails_at_the_end_is_no_error_either(caplog: pytest.LogCaptureFixture):
    """The last call is guarded like the others."""
    reporter = open_reporter(lambda _: 1 / 0, total=3)
    assert reporter is not None

    reporter.close(progress(succeeded=3))

    assert len(caplog.records) == 1


def test_the_end_is_shown_once():
    """A batch that is closed twice on its way out shows one end."""
    seen: list[Progress] = []
    reporter = open_reporter(seen.append, total=3)
    assert reporter is not None

    reporter.close(progress(succeeded=3))
    reporter.close(progress(succeeded=3))
    reporter.update(progress(succeeded=3))

    assert len(seen) == 1


def test_an_interrupt_in_a_function_is_not_swallowed():
    """Ctrl-C while a callback runs ends the program as anywhere."""

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    reporter = open_reporter(interrupt, total=3)
    assert reporter is not None

    with pytest.raises(KeyboardInterrupt):
        reporter.update(progress())


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("bar", ValueError, r"progress='bar' is unknown: use True, False, 'rich' or 'tqdm'"),
        (None, TypeError, r"progress=None .* use True, False, 'rich', 'tqdm', or a function"),
        (1, TypeError, r"progress=1 .* use True"),
        (awaitable, TypeError, r"async function: .* is not async"),
        (NotAFunction(), TypeError, r"async function"),
    ],
)
def test_other_values_are_refused_with_the_cure(value: Any, error: type[Exception], message: str):
    """The message has the value received and what to write in its place."""
    with pytest.raises(error, match=message):
        check_progress(value)
    with pytest.raises(error, match=message):
        open_reporter(value, total=3)


@pytest.mark.parametrize("name", ["rich", "tqdm"])
def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, name: Any):
    """The message can be pasted into a shell."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(
        ModuleNotFoundError, match=r"pip install 'asyncbatch\[progress\]'"
    ) as raised:
        check_progress(name)

    assert raised.value.name == name
    assert "pip install 'asyncbatch[progress]'" in str(raised.value)


def test_two_bars_of_rich_at_once_cost_no_batch(capsys: pytest.CaptureFixture[str]):
    """Whether rich can show two or not, both batches go on."""
    first, second = open_reporter("rich", total=3), open_reporter("rich", total=3)
    assert first is not None
    assert second is not None

    first.update(progress(total=3))
    second.update(progress(total=3))
    second.close(progress(total=3, succeeded=3))
    first.close(progress(total=3, succeeded=3))

    assert "3/3" in capsys.readouterr().err
