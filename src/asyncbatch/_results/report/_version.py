"""The version that reports name; a program may bring this package without its metadata."""

from __future__ import annotations

import sys


def version() -> str:
    """Return `asyncbatch.__version__`, which cannot be imported from here."""
    return str(sys.modules["asyncbatch"].__version__)
