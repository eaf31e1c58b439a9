"""Virtual time for the engine, which reads the monotonic clock and not that of its event loop."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterator

import pytest

from asyncbatch.testing import FakeClock


@contextlib.contextmanager
def virtual_time() -> Iterator[FakeClock]:
    """Make the time of the running loop of asyncio virtual, and that of the engine on it."""
    with FakeClock() as clock, pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.startswith("asyncbatch.") and vars(module).get("monotonic") is time.monotonic:
                patch.setattr(module, "monotonic", asyncio.get_running_loop().time)
        yield clock
