"""
What all TLS connections of one engine share, made when the first of them is opened.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from asyncbatch._engine._event_loop import Future, running_loop, shielded
from asyncbatch._engine.connect._resolver import Threads
from asyncbatch._engine.io._tls_transport import report_cuts

_ENCRYPTED = 256 * 1024


class TLSContext:
    """
    Makes the context once, in a thread: reading the roots takes some 20 ms.

    Args:
        make: called for it, and again if it fails.
        threads: where.

    """

    def __init__(self, make: Callable[[], ssl.SSLContext], threads: Threads) -> None:
        self._make = make
        self._threads = threads
        # None before it has been made.
        self._context: ssl.SSLContext | None = None
        # That it is being made, or has been; None before, and once that has failed.
        self._future: Future[ssl.SSLContext] | None = None
        self._encrypted = memoryview(b"")

    @property
    def encrypted(self) -> memoryview:
        """What every connection receives into, before it is decrypted."""
        if not self._encrypted:
            self._encrypted = memoryview(bytearray(_ENCRYPTED))
        return self._encrypted

    async def get(self) -> ssl.SSLContext:
        """
        Return the context, without holding the loop up.

        Raises:
            Exception: what `make` raises.
        """
        if self._context is None:
            if self._future is None or self._future.get_loop() is not running_loop():
                self._future = self._threads.call(self._make)
            try:
                context = await shielded(self._future)
            except Exception:
                self._future = None
                raise
            # Offering anything else would have servers speak it.
            context.set_alpn_protocols(["http/1.1"])
            report_cuts(context)
            self._context = context
        return self._context
