"""
A plugin for `nox -s coverage`: goes on measuring behind a test that switches it off.

Where a test runs out of stack or memory, Python drops a trace function that does so too.
"""

from __future__ import annotations

import sys
from collections.abc import Generator

import pytest

_trace = sys.gettrace()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Trace each test, whatever the one before has done."""
    if sys.gettrace() is None:
        sys.settrace(_trace)
    return (yield)
