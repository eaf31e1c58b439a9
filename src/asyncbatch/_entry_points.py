"""
The public names that take the whole library to load: what sends requests, and its options.

`asyncbatch` takes them from here when one of them is first asked for. No logic.
"""

from asyncbatch._api import fetch_many
from asyncbatch._fetcher import Fetcher
from asyncbatch._host_limits import HostLimits
from asyncbatch._input import RequestLike, Requests
from asyncbatch._limits import Rate
from asyncbatch._options import FetcherOptions
from asyncbatch._progress import Progress
from asyncbatch._result_stream import SyncResultStream
from asyncbatch._statistics import HostStatistics, Statistics
from asyncbatch._sync import SyncFetcher, fetch_many_sync
from asyncbatch._transport import HTTPTransport, is_public

__all__ = [
    "Fetcher",
    "FetcherOptions",
    "HTTPTransport",
    "HostLimits",
    "HostStatistics",
    "Progress",
    "Rate",
    "RequestLike",
    "Requests",
    "Statistics",
    "SyncFetcher",
    "SyncResultStream",
    "fetch_many",
    "fetch_many_sync",
    "is_public",
]
