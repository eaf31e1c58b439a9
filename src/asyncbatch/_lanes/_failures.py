"""
Exceptions of a client, sorted into kinds of failure.

Decides only: takes an exception and what was going on, and returns the outcome.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any

from asyncbatch._decoding import BodyCut, BodyLimitExceeded, CorruptBody
from asyncbatch._errors import BodyTooLarge, DNSError, FailureKind, TLSError, TruncatedBody
from asyncbatch._lanes._binding import Binding
from asyncbatch._outcome import Outcome

# getaddrinfo's answers that asking again does not change. Platforms differ in which they have.
_PERMANENT_DNS = {
    getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name)
}


class Situation:
    """What an attempt was doing when it failed; kept up by the lane."""

    __slots__ = ("hops", "in_body", "request")

    def __init__(self) -> None:
        self.request: Any = None  # the one under way, None before the first is built
        self.hops = 0  # responses received so far
        self.in_body = False  # whether the head of the present response has arrived


def outcome_of(error: Exception, situation: Situation, binding: Binding) -> Outcome:
    """Return the outcome that `error` makes of an attempt."""
    if isinstance(error, ExceptionGroup):
        # anyio raises a group where several addresses failed; one of them has to speak for all.
        error = next(_leaves(error))
    if isinstance(error, BodyLimitExceeded | BodyCut | CorruptBody):
        return _decoding_outcome(error, situation, binding)
    outcome = _library_outcome(error, situation, binding)
    if outcome.error is not error and outcome.error is not None:
        outcome.error.__cause__ = error
    if isinstance(error, binding.library.HTTPError):
        _drop_tracebacks(error)
    return outcome


def _drop_tracebacks(error: Exception) -> None:
    # The frames of httpx and httpcore tell nothing that the chain of errors does not, and keep
    # their locals, connection and all, alive for as long as the result: some 10 KB each.
    for cause in _causes(error):
        cause.__traceback__ = None


def _leaves(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _decoding_outcome(
    error: BodyLimitExceeded | BodyCut | CorruptBody, situation: Situation, binding: Binding
) -> Outcome:
    kind, public = FailureKind.decode, None
    request = situation.request
    if isinstance(error, BodyLimitExceeded):
        kind, public = (
            FailureKind.too_large,
            binding.error(BodyTooLarge)(error.limit, request=request),
        )
    elif isinstance(error, BodyCut):
        kind, public = (
            FailureKind.truncated,
            binding.error(TruncatedBody)(str(error), request=request),
        )
    else:
        public = binding.library.DecodingError(str(error), request=request)
    public.__cause__ = error
    return Outcome(kind=kind, error=public)


def _library_outcome(error: Exception, situation: Situation, binding: Binding) -> Outcome:
    library = binding.library
    if isinstance(error, library.TimeoutException):
        return _timeout_outcome(error, library)
    if isinstance(error, library.ConnectError):
        return _connect_outcome(error, situation, binding)
    if isinstance(error, library.ProxyError):
        return Outcome(kind=FailureKind.connect, error=error)
    if isinstance(error, library.TooManyRedirects):
        return Outcome(kind=FailureKind.redirect, error=error)
    if isinstance(error, library.DecodingError):
        return Outcome(kind=FailureKind.decode, error=error)
    if isinstance(error, library.HTTPStatusError):  # raised by an event hook of the caller's
        return Outcome(kind=FailureKind.status, error=error)
    if isinstance(error, library.InvalidURL | library.UnsupportedProtocol | library.StreamError):
        return _unsendable(error, situation)
    if isinstance(error, library.LocalProtocolError):
        return _unsendable(error, situation)
    if isinstance(error, library.TransportError):
        return _broken_outcome(error, situation, binding)
    if isinstance(error, UnicodeError):  # a host name that IDNA cannot encode
        return _unsendable(error, situation)
    return Outcome(kind=FailureKind.protocol, error=error)


def _timeout_outcome(error: Exception, library: Any) -> Outcome:
    return Outcome(
        kind=FailureKind.timeout,
        error=error,
        connect_failed=isinstance(error, library.ConnectTimeout),
        local=isinstance(error, library.PoolTimeout),
    )


def _connect_outcome(error: Exception, situation: Situation, binding: Binding) -> Outcome:
    request = situation.request
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return Outcome(
                kind=FailureKind.dns,
                error=binding.error(DNSError)(str(error), request=request),
                connect_failed=True,
                permanent=cause.errno in _PERMANENT_DNS,
            )
        if isinstance(cause, ssl.SSLError):
            return Outcome(
                kind=FailureKind.tls,
                error=binding.error(TLSError)(str(error), request=request),
                connect_failed=True,
                permanent=isinstance(cause, ssl.SSLCertVerificationError),
            )
    return Outcome(kind=FailureKind.connect, error=error, connect_failed=True)


def _broken_outcome(error: Exception, situation: Situation, binding: Binding) -> Outcome:
    if "Invalid URL in location header" in str(error):
        return Outcome(kind=FailureKind.redirect, error=error)
    if situation.in_body and _is_cut(error, binding.library):
        truncated = binding.error(TruncatedBody)(str(error), request=situation.request)
        return Outcome(kind=FailureKind.truncated, error=truncated)
    return Outcome(kind=FailureKind.protocol, error=error)


def _is_cut(error: Exception, library: Any) -> bool:
    # A reset is a ReadError. An end of stream is told apart from a broken chunk by h11's words
    # alone: both are a RemoteProtocolError.
    return isinstance(error, library.ReadError) or str(error).startswith("peer closed connection")


def _unsendable(error: Exception, situation: Situation) -> Outcome:
    kind = FailureKind.redirect if situation.hops else FailureKind.invalid_request
    return Outcome(kind=kind, error=error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    pending = [error]
    while pending:
        cause = pending.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            pending.extend(cause.exceptions)
        pending.extend(link for link in (cause.__cause__, cause.__context__) if link is not None)
