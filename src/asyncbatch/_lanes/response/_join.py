"""
Putting a body together from its pieces: in a thread where that takes long.

32 MiB take 8 to 20 ms, and several bodies may end in one turn of the event loop. CPython joins
1 MiB and more of nothing but `bytes` without its lock.
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
        MemoryError: There is no room for it.
    """
    try:
        return await _threads.call(body.__bytes__)
    except NoThreads:
        return bytes(body)
