"""Fixtures of the tests that connect."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def socket_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return where a Unix domain socket may be, and nothing is yet.

    It is relative: such an address has 108 bytes, and the folder for temporary files may lie deep.
    """
    monkeypatch.chdir(tmp_path)
    return "socket"
