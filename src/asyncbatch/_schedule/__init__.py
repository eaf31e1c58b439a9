"""
The schedule: picks the next request of a batch, and the time of its start.

Pure: no `async`, no clock, no sockets, no randomness of its own.
"""

from asyncbatch._schedule._decision import FINISH, RetryAction, RetryDecision
from asyncbatch._schedule._job import Job, JobState
from asyncbatch._schedule._schedule import Schedule

__all__ = ["FINISH", "Job", "JobState", "RetryAction", "RetryDecision", "Schedule"]
