"""
Makes the reporter for the option `progress`, and keeps its errors from the batch.
"""

from __future__ import annotations

import importlib.util
import inspect
import logging
from collections.abc import Callable
from typing import Literal, TypeAlias

from asyncbatch._progress._line import LineReporter
from asyncbatch._progress._progress import Progress, Reporter

logger = logging.getLogger("asyncbatch")

ProgressTypes: TypeAlias = bool | Literal["rich", "tqdm"] | Callable[[Progress], object]


def check_progress(progress: object) -> None:
    """
    Check a value of the option `progress`.

    Raises:
        TypeError: If it is of a wrong type.
        ValueError: If it is an unknown name.
        ModuleNotFoundError: If it names a package that is not installed.
    """
    if isinstance(progress, bool):
        return
    if isinstance(progress, str):
        _check_package(progress)
        return
    cure = "use True, False, 'rich', 'tqdm', or a function that takes a Progress"
    if not callable(progress):
        raise TypeError(f"progress={progress!r} is of a wrong type: {cure}")
    call = getattr(progress, "__call__", None)  # noqa: B004  # the method itself is looked at
    if inspect.iscoroutinefunction(progress) or inspect.iscoroutinefunction(call):
        raise TypeError(f"progress={progress!r} is an async function: {cure} and is not async")


def open_reporter(progress: ProgressTypes, *, total: int | None) -> Reporter | None:
    """
    Return the reporter for the option `progress` of a batch of `total` requests, if it shows any.

    Raises:
        TypeError, ValueError, ModuleNotFoundError: As `check_progress` does.
    """
    check_progress(progress)
    if progress is False:
        return None
    return _Guarded(_opened(progress, total))


def _opened(progress: ProgressTypes, total: int | None) -> Reporter:
    if progress == "rich":
        from asyncbatch._progress._rich import RichReporter

        return RichReporter(total)
    if progress == "tqdm":
        from asyncbatch._progress._tqdm import TqdmReporter

        return TqdmReporter(total)
    if callable(progress):
        return _CallingReporter(progress)
    return LineReporter()


def _check_package(name: str) -> None:
    if name not in ("rich", "tqdm"):
        raise ValueError(f"progress={name!r} is unknown: use True, False, 'rich' or 'tqdm'")
    if importlib.util.find_spec(name) is None:
        raise ModuleNotFoundError(
            f"progress={name!r} needs the package {name}: pip install 'asyncbatch[progress]'",
            name=name,
        )


class _CallingReporter:
    """Passes each progress to a function of the caller."""

    def __init__(self, function: Callable[[Progress], object]) -> None:
        self._function = function

    def update(self, progress: Progress) -> None:
        self._function(progress)

    def close(self, progress: Progress) -> None:
        self._function(progress)


class _Guarded:
    """Keeps the errors of a reporter from the batch: logs the first one, and stops after it."""

    def __init__(self, reporter: Reporter) -> None:
        # None once it has failed or was closed.
        self._reporter: Reporter | None = reporter

    def update(self, progress: Progress) -> None:
        if self._reporter is None:
            return
        try:
            self._reporter.update(progress)
        except (Exception, GeneratorExit):
            self._drop_reporter()

    def close(self, progress: Progress) -> None:
        if self._reporter is None:
            return
        try:
            self._reporter.close(progress)
        except (Exception, GeneratorExit):
            self._drop_reporter()
        self._reporter = None

    def _drop_reporter(self) -> None:
        # Logged, since `warnings.warn` would raise if warnings are errors.
        self._reporter = None
        logger.exception("Showing the progress failed; this batch goes on without it")
