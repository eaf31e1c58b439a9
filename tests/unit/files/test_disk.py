"""The threads of the disk: calls in them, and here where there are none."""

from __future__ import annotations

import threading

import pytest

from asyncbatch import FailureKind
from asyncbatch._files import _disk
from asyncbatch._runtime._threads import NoThreads, Threads
from asyncbatch._values._sink import SinkFailure

pytestmark = pytest.mark.any_loop


@pytest.fixture(params=[True, False], ids=["threads", "no threads"])
def has_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Play a system that has threads, and one that gives none."""

    def refuse(*_: object) -> None:
        raise NoThreads

    if not request.param:
        monkeypatch.setattr(Threads, "start", refuse)
    has_threads: bool = request.param
    return has_threads


async def test_a_call_is_made_in_a_thread_or_here(has_threads: bool) -> None:
    """It returns the value, and the event loop's thread calls where there is no other."""
    called_in = await _disk.call(threading.get_ident)

    assert (called_in != threading.get_ident()) is has_threads


def _fail() -> int:
    raise PermissionError("not yours")


@pytest.mark.usefixtures("has_threads")
async def test_an_error_of_the_system_is_the_failure_of_its_file() -> None:
    """Of kind `disk`, with the error."""
    with pytest.raises(SinkFailure) as caught:
        await _disk.call(_fail)

    assert caught.value.kind is FailureKind.disk
    assert isinstance(caught.value.error, PermissionError)


async def test_a_submitted_call_is_waited_for_unless_it_was_made_here(has_threads: bool) -> None:
    """By what is returned; `None` stands for a call that has been made."""
    made_in: list[int] = []
    ended = _disk.submit(lambda: made_in.append(threading.get_ident()))
    if ended is not None:
        await ended()

    assert (ended is not None) is has_threads
    assert [each != threading.get_ident() for each in made_in] == [has_threads]


async def test_a_thread_writes_and_goes_on(has_threads: bool) -> None:
    """Where there is none, neither is done."""
    done: list[str] = []

    def go_on() -> int:
        done.append("received")
        return 7

    received = await _disk.receive(lambda: done.append("written"), go_on)

    assert received == (7 if has_threads else None)
    assert done == (["written", "received"] if has_threads else [])
    assert not _disk.are_others_waiting()


async def test_an_error_while_receiving_is_the_failure_of_its_file() -> None:
    """As that of any other call."""
    with pytest.raises(SinkFailure) as caught:
        await _disk.receive(lambda: None, _fail)

    assert caught.value.kind is FailureKind.disk
