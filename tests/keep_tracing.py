"""
A plugin for `nox -s coverage`: goes on measuring behind a test that switches it off.

Where a test runs out of stack or memory, Python drops a trace function that does so too.

The threads that tests start wait for a lock of coverage's at times. A test in whose event loop that
happens must not fail as if the library had waited there.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from types import SimpleNamespace
from typing import Any

import pytest
from coverage import Coverage

_trace = sys.gettrace()


def pytest_configure() -> None:
    """Give the tracers of later threads the lock's own methods, before `BlockBuster` wraps them."""
    measuring = Coverage.current()
    assert measuring is not None
    collector: Any = measuring._collector
    lock = collector.data_lock
    collector.data_lock = SimpleNamespace(acquire=lock.acquire, release=lock.release)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Trace each test, whatever the one before has done."""
    if sys.gettrace() is None:
        sys.settrace(_trace)
    return (yield)
