"""
The progress of a batch, and its display.

The batch calls a reporter ten times a second and once at the end. A reporter has no clock and no
task of its own, and never raises: a display that fails must not cost a result.
"""

from asyncbatch._progress._open import ProgressTypes, check_progress, open_reporter
from asyncbatch._progress._progress import (
    FILES_SHOWN,
    HOSTS_SHOWN,
    INTERVAL,
    FileProgress,
    Progress,
    Reporter,
)

__all__ = [
    "FILES_SHOWN",
    "HOSTS_SHOWN",
    "INTERVAL",
    "FileProgress",
    "Progress",
    "ProgressTypes",
    "Reporter",
    "check_progress",
    "open_reporter",
]
