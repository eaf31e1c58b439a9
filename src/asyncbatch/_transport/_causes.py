"""
What exceptions came of: whether this machine had run out of something, whether anybody cancelled.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator

# What this machine has run out of: descriptors, ports, threads, memory.
_EXHAUSTED = {
    errno.EAGAIN,
    errno.EMFILE,
    errno.ENFILE,
    errno.EADDRNOTAVAIL,
    errno.ENOBUFS,
    errno.ENOMEM,
}


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and everything that it came of, each once."""
    seen: set[int] = set()
    pending = [error]
    while pending:
        cause = pending.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            pending.extend(cause.exceptions)
        pending.extend(link for link in (cause.__cause__, cause.__context__) if link is not None)


def lacks_descriptors(cause: BaseException) -> bool:
    """Whether `cause` says that this process, or this machine, may open no further file."""
    if not isinstance(cause, OSError) or isinstance(cause, socket.gaierror):
        return False
    return cause.errno in (errno.EMFILE, errno.ENFILE)


def is_exhausted(cause: BaseException) -> bool:
    """Whether `cause` says that this machine has run out of something."""
    # The numbers of getaddrinfo's errors are others.
    if not isinstance(cause, OSError) or isinstance(cause, socket.gaierror):
        return False
    return cause.errno in _EXHAUSTED


def is_uncalled_for(error: BaseException) -> bool:
    """Say whether an error is a cancellation that nobody has asked of the running task."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop of asyncio's
        return False
    return task is not None and not task.cancelling()
