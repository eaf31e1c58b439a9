"""
Join the pieces of a large body in a thread.

32 MiB take 8 to 20 ms, and several bodies may end in one turn of the event loop. CPython releases
the GIL while it joins 1 MiB or more of nothing but `bytes`.
"""

from __future__ import annotations

from asyncbatch._engine.http11 import UnjoinedBody
from asyncbatch._runtime._threads import NoThreads, Threads

_threads = Threads("asyncbatch-joining", 2)


async def join(body: UnjoinedBody) -> bytes:
    """
    Return a large body as one piece.

    A cancellation does not wait for the thread.

    Raises:
        MemoryError: If there is no memory for it.
    """
    try:
        return await _threads.call(body.__bytes__)
    except NoThreads:
        return bytes(body)
