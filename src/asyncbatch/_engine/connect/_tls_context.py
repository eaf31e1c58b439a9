"""
`TLSContext`: the TLS context of one engine, made when the first TLS connection is opened.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from asyncbatch._engine._event_loop import Future, running_loop, shielded
from asyncbatch._engine.connect._resolver import ConnectThreads
from asyncbatch._engine.io._tls_transport import report_cuts

_ENCRYPTED = 256 * 1024


class TLSContext:
    """
    Makes the context once, in a thread: reading the roots takes some 20 ms.

    Args:
        make: Returns the context; called again if it failed.
        threads: Where it is called.
    """

    def __init__(self, make: Callable[[], ssl.SSLContext], threads: ConnectThreads) -> None:
        self._make = make
        self._threads = threads
        # `None` until it is made.
        self._context: ssl.SSLContext | None = None
        # The call that makes it, also afterwards; `None` before, and after it failed.
        self._future: Future[ssl.SSLContext] | None = None
        self._encrypted = memoryview(b"")

    @property
    def encrypted(self) -> memoryview:
        """The buffer that every connection receives into, before decrypting."""
        if not self._encrypted:
            self._encrypted = memoryview(bytearray(_ENCRYPTED))
        return self._encrypted

    async def get(self) -> ssl.SSLContext:
        """
        Return the context, without blocking the loop.

        Raises:
            Exception: `make` failed.
        """
        if self._context is None:
            if self._future is None or self._future.get_loop() is not running_loop():
                self._future = self._threads.call(self._make)
            try:
                context = await shielded(self._future)
            except Exception:
                self._future = None
                raise
            report_cuts(context)
            self._context = context
        return self._context
