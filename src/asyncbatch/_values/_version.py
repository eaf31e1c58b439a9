"""
The version, for whoever names it below `asyncbatch/__init__.py`, which gives it to users.

Written down, not asked for: a program may bring this package without its metadata. The build of the
distribution reads it here.
"""

from __future__ import annotations

__version__ = "0.1.0"
"""The installed version."""
