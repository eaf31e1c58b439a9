"""What errors of the engine say, and what an error came of."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from typing import Any, get_args

import pytest

from asyncbatch._engine._errors import (
    Phase,
    SentTooSlowly,
    TimedOut,
    causes_of,
    is_exhausted,
    is_uncalled_for,
    lacks_descriptors,
)


@pytest.mark.parametrize("phase", get_args(Phase))
def test_each_timeout_says_what_was_waited_for(phase: Phase) -> None:
    """In words of its own."""
    error = TimedOut(phase)

    assert error.phase == phase
    assert {str(TimedOut(other)) for other in get_args(Phase) if other != phase} - {str(error)}
    assert "in time" in str(error) or "slowly" in str(error)


def test_a_response_that_comes_too_slowly_tells_the_least_rate() -> None:
    """It is a timeout too."""
    error = SentTooSlowly(100.0)

    assert isinstance(error, TimedOut)
    assert (error.rate, error.phase) == (100.0, "rate")


def chained(*links: tuple[str, BaseException]) -> BaseException:
    """Return an error with causes and contexts, one behind the other."""
    error = first = ValueError("first")
    for name, link in links:
        setattr(error, name, link)
        error = link  # type: ignore[assignment]
    return first


def test_an_error_came_of_its_causes_and_of_its_contexts() -> None:
    """In groups, too; each is named once, even where they refer to each other."""
    inner, context = OSError("inner"), KeyError("context")
    group = ExceptionGroup("group", [inner, TypeError("other")])
    inner.__context__ = context
    error = chained(("__cause__", RuntimeError("cause")), ("__context__", group))
    context.__context__ = error

    found = [type(cause) for cause in causes_of(error)]

    assert found[0] is ValueError
    assert sorted(kind.__name__ for kind in found) == [
        *("ExceptionGroup", "KeyError", "OSError", "RuntimeError", "TypeError", "ValueError")
    ]


@pytest.mark.parametrize(
    ("cause", "lacks", "exhausted"),
    [
        (OSError(errno.EMFILE, ""), True, True),
        (OSError(errno.ENFILE, ""), True, True),
        (OSError(errno.EADDRNOTAVAIL, ""), False, True),
        (OSError(errno.EAGAIN, ""), False, True),
        (OSError(errno.ENOMEM, ""), False, True),
        (ConnectionRefusedError(errno.ECONNREFUSED, ""), False, False),
        (OSError("without a number"), False, False),
        (socket.gaierror(errno.EMFILE, ""), False, False),
        (socket.gaierror(errno.EAGAIN, ""), False, False),
        (ssl.SSLError(1, ""), False, False),
        (ValueError(errno.EMFILE), False, False),
    ],
    ids=repr,
)
def test_what_this_machine_has_run_out_of_is_told_from_the_rest(
    cause: BaseException, lacks: bool, exhausted: bool
) -> None:
    """The numbers of getaddrinfo's errors mean other things."""
    assert (lacks_descriptors(cause), is_exhausted(cause)) == (lacks, exhausted)


@pytest.mark.asyncio_only  # on trio, a future that was cancelled raises another error
async def test_a_cancellation_that_nobody_asked_for_is_told_from_one_that_was() -> None:
    """A future that somebody else has cancelled raises the same error."""
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await cancelled
    assert is_uncalled_for(caught.value)
    assert not is_uncalled_for(ValueError())

    answers: list[bool] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            answers.append(is_uncalled_for(error))
            raise

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert answers == [False]


def test_without_an_event_loop_no_cancellation_is_uncalled_for() -> None:
    """There is no task that it could be about."""
    error: Any = asyncio.CancelledError()

    assert not is_uncalled_for(error)
