"""
Which request of a batch goes next, and when.

Pure: no `async`, no clock, no sockets, no randomness of its own.
"""

from asyncbatch._schedule._decision import FINISH, Action, Decision
from asyncbatch._schedule._job import Job, JobState
from asyncbatch._schedule._schedule import Schedule

__all__ = ["FINISH", "Action", "Decision", "Job", "JobState", "Schedule"]
