"""Providers for each test."""

from __future__ import annotations

import pytest

from tests.traced import Traced


@pytest.fixture
def traced() -> Traced:
    """Return providers that keep everything in memory."""
    return Traced()
