"""Errors of the caller's own code, told from those of libraries by the frames they came through."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asyncbatch._lanes.failures._callers import (
    callers_error,
    exit_of_caller,
    is_callers,
    is_hooks,
    note_places,
    stray_cancellation,
)


def raised(*packages: str | tuple[str, str], error: BaseException | None = None) -> BaseException:
    """
    Return an error that was raised in the last of these packages, called from those before.

    Of a pair, the second is the name of the function.
    """
    calls = []
    for package in packages:
        package, name = (package, "run") if isinstance(package, str) else package
        scope: dict[str, Any] = {"__name__": f"{package}.module"}
        source = (
            f"def {name}(error, calls):\n    if calls: calls[0](error, calls[1:])\n    raise error"
        )
        exec(compile(source, f"/{package}/module.py", "exec"), scope)
        calls.append(scope[name])
    try:
        calls[0](error or ValueError("raised"), calls[1:])
    except BaseException as caught:
        # Without the frame of this function, which would be the caller's.
        return caught.with_traceback(caught.__traceback__ and caught.__traceback__.tb_next)
    raise AssertionError


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        (["asyncbatch", "httpx"], False),
        (["asyncbatch", "httpx", "app"], True),
        (["asyncbatch", "httpx", "app", "json"], True),
        (["asyncbatch", "httpx", "app", "httpx"], False),
        (["asyncbatch", "httpx", "httpcore", "anyio", "ssl"], False),
        (["asyncbatch", "httpx2", "httpcore2", "h11"], False),
        (["asyncbatch", "httpx", "app", "httpcore", "app"], True),
    ],
)
def test_an_error_is_the_callers_if_no_sender_stands_behind_their_code(
    packages: list[str], expected: bool
) -> None:
    """A transport of theirs that calls httpcore raises what is httpcore's."""
    assert is_callers(raised(*packages)) is expected


SENDS = ("httpx", "_send_handling_redirects")


@pytest.mark.parametrize(
    ("packages", "error", "expected"),
    [
        ([SENDS, "app"], ValueError(), True),
        ([SENDS, SENDS, "app"], ValueError(), True),
        ([SENDS, "app", "httpx"], ValueError(), True),
        ([SENDS, "httpx", "app"], ValueError(), False),
        ([SENDS, "httpx"], ValueError(), False),
        ([SENDS, "httpx"], TypeError(), False),
        (["app", "httpx"], ValueError(), False),
        ([("app", "_send_handling_redirects"), "app"], ValueError(), False),
    ],
)
def test_a_hook_is_what_httpx_calls_where_it_calls_hooks(
    packages: list[Any], error: BaseException, expected: bool
) -> None:
    """Also if it raises an error of httpx's own."""
    assert is_hooks(raised(*packages, error=error)) is expected


@pytest.mark.parametrize(("error", "expected"), [(TypeError(), True), (ValueError(), False)])
def test_a_hook_that_is_no_coroutine_function_fails_where_it_is_awaited(
    error: BaseException, expected: bool
) -> None:
    """No frame of it is left by then."""
    assert is_hooks(raised(SENDS, error=error)) is expected


def test_the_end_of_an_iterator_has_its_frames_with_its_cause() -> None:
    """Python puts a RuntimeError in its place where a coroutine lets it out."""
    cause = raised("httpx", "app", error=StopIteration())
    stand_in = RuntimeError("generator raised StopIteration")
    stand_in.__cause__ = cause
    other = RuntimeError("of another kind")
    other.__cause__ = raised("httpx", "app")

    assert is_callers(stand_in)
    assert not is_callers(other)


def test_what_is_kept_of_an_error_begins_with_the_callers_code() -> None:
    """Frames of libraries keep their locals. Where it was raised is noted, once."""
    error: Any = raised("asyncbatch", "httpx", "app")
    names = []
    note_places(error)
    assert callers_error(error) is error
    found = error.__traceback__
    while found is not None:
        names.append(found.tb_frame.f_globals["__name__"].partition(".")[0])
        found = found.tb_next

    assert names == ["app"]
    assert len(error.__notes__) == 1
    assert "/app/module.py:3 in run" in error.__notes__[0]


def test_an_error_without_frames_has_no_places() -> None:
    """It was never raised."""
    error = ValueError()
    note_places(error)

    assert not hasattr(error, "__notes__")


@pytest.mark.asyncio_only
async def test_a_cancellation_that_nobody_asked_for_becomes_an_error() -> None:
    """Of one request; one that was asked for goes on."""
    stray = asyncio.CancelledError()
    error = stray_cancellation(stray)

    assert isinstance(error, RuntimeError)
    assert error.__cause__ is stray
    assert stray_cancellation(ValueError()) is None


async def test_an_exit_that_nobody_sent_becomes_an_error() -> None:
    """In a task that runs, only the code itself can have raised it."""
    sent = GeneratorExit()
    error = stray_cancellation(sent)

    assert isinstance(error, RuntimeError)
    assert error.__cause__ is sent
    assert str(error) == str(exit_of_caller(sent))


def test_an_exit_outside_a_task_goes_on() -> None:
    """Somebody closes a generator."""
    assert stray_cancellation(GeneratorExit()) is None
