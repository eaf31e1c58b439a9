"""
What exceptions came of, and whether it was this machine that had run out of something.
"""

from __future__ import annotations

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
