"""
How far a batch is, and how it is shown.

A reporter is called by the batch, ten times a second and once at the end. It has no clock and no
task of its own, and it never raises: what cannot be shown must not cost a result.
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
