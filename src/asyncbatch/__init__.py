"""Fetch many URLs at once: one typed result for each request, with its timing and its error."""

from asyncbatch._api import fetch_many
from asyncbatch._body_source import source_of
from asyncbatch._errors import (
    AddressBlocked,
    AttemptTimeout,
    BodyConsumed,
    BodyTooLarge,
    DeadlineExceeded,
    DNSError,
    FailureKind,
    FetcherClosed,
    HostDown,
    HostPaused,
    NotStarted,
    RetryAfterTooLong,
    TLSError,
    TooSlow,
    TruncatedBody,
)
from asyncbatch._fetcher import Fetcher
from asyncbatch._host_limits import HostLimits
from asyncbatch._input import RequestLike, Requests
from asyncbatch._limits import Rate
from asyncbatch._options import FetcherOptions
from asyncbatch._portable import Absent, made_of, publish, restored, same
from asyncbatch._progress import Progress
from asyncbatch._quantiles import Quantiles
from asyncbatch._request import Request, Unset
from asyncbatch._result import Failure, Result, Success
from asyncbatch._result_stream import SyncResultStream
from asyncbatch._results import Results, ResultStream
from asyncbatch._retry import Retry
from asyncbatch._statistics import HostStatistics, Statistics
from asyncbatch._summary import Summary
from asyncbatch._sync import SyncFetcher, fetch_many_sync
from asyncbatch._timing import Attempt, Timing
from asyncbatch._transport import HTTPTransport, is_public

__version__ = "0.1.0"
"""The version of what is installed."""

__all__ = [
    "AddressBlocked",
    "Attempt",
    "AttemptTimeout",
    "BodyConsumed",
    "BodyTooLarge",
    "DNSError",
    "DeadlineExceeded",
    "Failure",
    "FailureKind",
    "Fetcher",
    "FetcherClosed",
    "FetcherOptions",
    "HTTPTransport",
    "HostDown",
    "HostLimits",
    "HostPaused",
    "HostStatistics",
    "NotStarted",
    "Progress",
    "Quantiles",
    "Rate",
    "Request",
    "RequestLike",
    "Requests",
    "Result",
    "ResultStream",
    "Results",
    "Retry",
    "RetryAfterTooLong",
    "Statistics",
    "Success",
    "Summary",
    "SyncFetcher",
    "SyncResultStream",
    "TLSError",
    "Timing",
    "TooSlow",
    "TruncatedBody",
    "__version__",
    "fetch_many",
    "fetch_many_sync",
    "is_public",
]

publish(globals(), Absent, Unset, made_of, restored, same, source_of)
del Absent, Unset, made_of, publish, restored, same, source_of
