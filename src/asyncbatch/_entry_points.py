"""
The public names whose import loads the whole library: fetchers, their options, what they return.

`asyncbatch` imports them from here when one of them is first used. No logic.
"""

from asyncbatch._api._fetch_many import fetch_many
from asyncbatch._api._fetcher import Fetcher
from asyncbatch._api._options import FetcherOptions
from asyncbatch._api._statistics import HostStatistics, Statistics
from asyncbatch._batch._input import RequestLike, Requests
from asyncbatch._engine import HTTPTransport, is_public
from asyncbatch._journal._journal import Journal
from asyncbatch._journal._reader import JournalReader
from asyncbatch._policies._host_limits import HostLimits
from asyncbatch._policies._proxy_pool import ProxyPool
from asyncbatch._policies._rate import Rate
from asyncbatch._progress import FileProgress, Progress
from asyncbatch._results._quantiles import Quantiles
from asyncbatch._results._results import Results, ResultStream
from asyncbatch._results._summary import Summary
from asyncbatch._sync._fetch_many import fetch_many_sync
from asyncbatch._sync._fetcher import SyncFetcher
from asyncbatch._sync._stream import SyncResultStream

__all__ = [
    "Fetcher",
    "FetcherOptions",
    "FileProgress",
    "HTTPTransport",
    "HostLimits",
    "HostStatistics",
    "Journal",
    "JournalReader",
    "Progress",
    "ProxyPool",
    "Quantiles",
    "Rate",
    "RequestLike",
    "Requests",
    "ResultStream",
    "Results",
    "Statistics",
    "Summary",
    "SyncFetcher",
    "SyncResultStream",
    "fetch_many",
    "fetch_many_sync",
    "is_public",
]
