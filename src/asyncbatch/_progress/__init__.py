"""
The progress of a batch, and its display.

The batch calls a reporter ten times a second and once at the end. A reporter has no clock and no
task of its own, and never raises: a display that fails must not cost a result.
"""

from asyncbatch._progress._open import ProgressTypes, check_progress, open_reporter
from asyncbatch._progress._progress import HOSTS_SHOWN, INTERVAL, Progress, Reporter

__all__ = [
    "HOSTS_SHOWN",
    "INTERVAL",
    "Progress",
    "ProgressTypes",
    "Reporter",
    "check_progress",
    "open_reporter",
]
