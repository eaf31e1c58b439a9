"""
The threads of the disk, which all downloads of the process share.

What they write is decided in `Download` and `FileWriter`. An `OSError` of a call becomes the
`SinkFailure` of its file here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from asyncbatch._files._groups import Groups
from asyncbatch._files._receivers import Receivers
from asyncbatch._runtime._threads import NoThreads, Threads
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._sink import SinkFailure

T = TypeVar("T")

THREADS = 8
"""Most threads that write. Each waits for the disk most of the time: of files of 20 KB, 8 bring
twice as many to the disk as 4."""

RECEIVING = 2
"""Most threads that also receive what they write. They do not wait for the network, so that with
more of them than processors the event loop waits for its turn: with 16 files of 100 MB at once on
two processors, its 99th percentile was 10 ms late with 2 of them, and 50 ms with 8."""

HELD_UP = 1.0
"""Seconds without a free one of these threads after which the others write for them."""

_threads = Threads("asyncbatch-disk", THREADS, linger=0.1)
_receiving_threads = Threads("asyncbatch-disk-receiving", RECEIVING, linger=0.1)
_receivers = Receivers(_receiving_threads, HELD_UP)

_groups = Groups(_threads, limit=2, size=64, weight=4 * 1024 * 1024)

begin_whole = _groups.begin_call
"""Have a thread write a file whose body is there as a whole, together with others."""


async def call(function: Callable[[], T]) -> T:
    """
    Call a function in a thread, or here if there are none, and return its value.

    Raises:
        SinkFailure: It has raised an `OSError`.
    """
    try:
        try:
            return await _threads.call(function)
        except NoThreads:
            return function()
    except OSError as error:
        raise SinkFailure(FailureKind.disk, error=error) from None


def submit(function: Callable[[], object]) -> Callable[[], Awaitable[None]] | None:
    """
    Have a thread call a function, and return what waits for its end.

    Returns:
        `None` if there are no threads: it has been called here.
    """
    try:
        return _threads.submit(function).ended.wait
    except NoThreads:
        function()
        return None


async def receive(write: Callable[[], None], go_on: Callable[[], int]) -> int | None:
    """
    Write in a thread that then goes on receiving and writing.

    Returns:
        What `go_on` returns; `None` without a call if no thread is there for it.

    Raises:
        SinkFailure: One of them has raised an `OSError`.
    """

    def both() -> int:
        write()
        return go_on()

    try:
        return await _receivers.call(both)
    except NoThreads:
        return None
    except OSError as error:
        raise SinkFailure(FailureKind.disk, error=error) from None


def are_others_waiting() -> bool:
    """Whether other files wait for a thread that receives."""
    return _receivers.are_wanted
