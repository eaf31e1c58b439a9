"""Fetch many URLs at once: one typed result for each request, with its timing and its error."""

# Event loops need it, and it cannot be imported once the main thread has ended.
import concurrent.futures.thread  # pyright: ignore[reportUnusedImport]
from typing import TYPE_CHECKING

from asyncbatch._values._body_source import source_of
from asyncbatch._values._errors import (
    AddressBlocked,
    AttemptTimeout,
    BodyConsumed,
    BodyTooLarge,
    ChecksumMismatch,
    DeadlineExceeded,
    DNSError,
    FailureKind,
    FetcherClosed,
    HostDown,
    HostPaused,
    InDoubt,
    JournalChanged,
    JournalError,
    JournalFull,
    JournalInUse,
    NotAJournal,
    NotStarted,
    ProxyError,
    RetryAfterTooLong,
    TLSError,
    TooSlow,
    TruncatedBody,
)
from asyncbatch._values._folder import Folder
from asyncbatch._values._pickling import Absent, made_of, publish, restored, same
from asyncbatch._values._request import Request, Unset
from asyncbatch._values._result import Failure, Result, Success
from asyncbatch._values._retry import Retry
from asyncbatch._values._timing import Attempt, Timing

if TYPE_CHECKING:
    from asyncbatch._entry_points import (
        Fetcher,
        FetcherOptions,
        FileProgress,
        HostLimits,
        HostStatistics,
        HTTPTransport,
        Journal,
        JournalReader,
        Progress,
        ProxyPool,
        Quantiles,
        Rate,
        RequestLike,
        Requests,
        Results,
        ResultStream,
        Statistics,
        Summary,
        SyncFetcher,
        SyncResultStream,
        fetch_many,
        fetch_many_sync,
        is_public,
    )
    from asyncbatch._values._version import __version__

__all__ = [
    "AddressBlocked",
    "Attempt",
    "AttemptTimeout",
    "BodyConsumed",
    "BodyTooLarge",
    "ChecksumMismatch",
    "DNSError",
    "DeadlineExceeded",
    "Failure",
    "FailureKind",
    "Fetcher",
    "FetcherClosed",
    "FetcherOptions",
    "FileProgress",
    "Folder",
    "HTTPTransport",
    "HostDown",
    "HostLimits",
    "HostPaused",
    "HostStatistics",
    "InDoubt",
    "Journal",
    "JournalChanged",
    "JournalError",
    "JournalFull",
    "JournalInUse",
    "JournalReader",
    "NotAJournal",
    "NotStarted",
    "Progress",
    "ProxyError",
    "ProxyPool",
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

# A request and its result are loaded at once, everything that sends requests and collects results
# on first use: a program that sends nothing needs neither most of the library nor asyncio and
# httpcore.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "__version__":
            global __version__
            from asyncbatch._values._version import __version__

            return __version__
        from asyncbatch import _entry_points
        from asyncbatch._values._pickling import publish

        names = _entry_points.__all__
        later = {each: getattr(_entry_points, each) for each in names}
        publish({"__name__": __name__, "__all__": names, **later})
        globals().update(later)
        return later[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


del TYPE_CHECKING, concurrent
