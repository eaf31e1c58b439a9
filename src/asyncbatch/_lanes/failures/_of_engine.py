"""
Turn the engine's errors into outcomes.

One table for the direct lane, and for the client lane when the engine is below it.
"""

from __future__ import annotations

from typing import Any

from asyncbatch._engine import (
    ContextFailed,
    EngineClosed,
    ProxyFailed,
    RequestRefused,
    SentTooSlowly,
    TimedOut,
    causes_of,
    is_exhausted,
)
from asyncbatch._engine.http11 import (
    ExchangeError,
    ProtocolError,
    ResponseTooLarge,
    TruncatedResponse,
)
from asyncbatch._lanes.client._binding import Binding
from asyncbatch._lanes.failures._causes import is_alert, is_permanent
from asyncbatch._values._errors import (
    AddressBlocked,
    AttemptTimeout,
    BodyTooLarge,
    DNSError,
    FailureKind,
    ProxyError,
    TLSError,
    TooSlow,
    TruncatedBody,
)
from asyncbatch._values._outcome import Outcome


def engine_outcome(
    error: ExchangeError,
    binding: Binding,
    request: Any,
    *,
    in_body: bool,
    seconds: float | None = None,
    max_body: int | None = None,
) -> Outcome:
    """
    Return the outcome that an error of the engine makes of an attempt.

    Args:
        error: The engine's error.
        binding: The library whose exceptions are wanted.
        request: The native request.
        in_body: Whether the response's head had arrived.
        seconds: The limit on the whole attempt, if the engine kept it.
        max_body: The limit on the decoded body, if the engine kept a limit because of it.
    """
    if isinstance(error, TimedOut):
        outcome = _timed_out(error, binding, request, seconds)
    else:
        outcome = _SORTED[error.kind](error, binding, request, in_body)
    if isinstance(outcome.error, BodyTooLarge) and max_body is not None:
        outcome.error = binding.error(BodyTooLarge)(max_body, request=request)
    assert outcome.error is not None
    outcome.heard = _heard(error, outcome, in_body=in_body)
    if error.is_at_proxy and isinstance(error, TimedOut) and not outcome.local:
        blame_proxy(outcome)
    outcome.error.__cause__ = error
    for cause in causes_of(outcome.error):
        cause.with_traceback(None)
    return outcome


def blame_proxy(outcome: Outcome, *, is_unsent: bool = True) -> None:
    """Mark a failure as the proxy's, not the host's: it failed or did not connect in time."""
    outcome.of_proxy = True
    outcome.connect_failed = outcome.target_silent = False
    outcome.heard = None
    # If nothing has been sent, any method may be tried again.
    outcome.undone = is_unsent


def _heard(error: ExchangeError, outcome: Outcome, *, in_body: bool) -> bool | None:
    """Whether a byte of a response came, as far as the error tells; `None` if unknown."""
    if in_body or isinstance(error, ProtocolError | ResponseTooLarge):
        return True
    if outcome.local or isinstance(error, EngineClosed) or error.kind in _OURS:
        return None
    if error.kind in _CONNECTING and not outcome.connect_failed:
        return None
    return isinstance(error, TruncatedResponse) and error.received


def _timed_out(error: TimedOut, binding: Binding, request: Any, seconds: float | None) -> Outcome:
    kind = FailureKind.timeout
    if error.phase == "total":
        cut = binding.error(AttemptTimeout)(seconds or 0.0, request=request)
        return Outcome(kind=kind, error=cut, cut=True)
    if isinstance(error, SentTooSlowly):
        return Outcome(kind=kind, error=binding.error(TooSlow)(error.rate, request=request))
    name = f"{error.phase.title()}Timeout"
    return Outcome(
        kind=kind,
        error=getattr(binding.library, name)(str(error), request=request),
        connect_failed=error.phase == "connect",
        local=error.phase == "pool",
    )


def _dns(error: ExchangeError, binding: Binding, request: Any, in_body: bool) -> Outcome:
    if any(map(is_exhausted, causes_of(error))):
        return _connect(error, binding, request, in_body)
    return Outcome(
        kind=FailureKind.dns,
        error=binding.error(DNSError)(str(error), request=request),
        connect_failed=True,
        permanent=any(map(is_permanent, causes_of(error))),
    )


def _connect(error: ExchangeError, binding: Binding, request: Any, _: bool) -> Outcome:
    exhausted = any(map(is_exhausted, causes_of(error)))
    return Outcome(
        kind=FailureKind.connect,
        error=binding.library.ConnectError(str(error), request=request),
        connect_failed=not exhausted,
        local=exhausted,
    )


def _proxy(error: ExchangeError, binding: Binding, request: Any, in_body: bool) -> Outcome:
    assert isinstance(error, ProxyFailed)
    if any(map(is_exhausted, causes_of(error))):
        return _connect(error, binding, request, in_body)
    outcome = Outcome(
        kind=FailureKind.proxy,
        error=binding.error(ProxyError)(
            str(error), proxy=error.proxy, status_code=error.status, request=request
        ),
        permanent=error.is_lasting,
    )
    blame_proxy(outcome, is_unsent=error.is_unsent)
    return outcome


def _tls(error: ExchangeError, binding: Binding, request: Any, in_body: bool) -> Outcome:
    if any(map(is_exhausted, causes_of(error))):
        # For example no descriptor for the file of the roots: that is not about the server.
        return _connect(error, binding, request, in_body)
    is_ours = isinstance(error, ContextFailed)  # not about the server either
    return Outcome(
        kind=FailureKind.tls,
        error=binding.error(TLSError)(str(error), request=request),
        connect_failed=not is_ours,
        permanent=is_ours or any(map(is_permanent, causes_of(error))),
    )


def _blocked(error: ExchangeError, binding: Binding, request: Any, _: bool) -> Outcome:
    blocked = binding.error(AddressBlocked)(str(error), request=request)
    return Outcome(kind=FailureKind.blocked, error=blocked, permanent=True)


def _protocol(error: ExchangeError, binding: Binding, request: Any, _: bool) -> Outcome:
    broken = binding.library.RemoteProtocolError(str(error), request=request)
    # A request that a server has not processed may be sent again with any method.
    return Outcome(
        kind=FailureKind.protocol, error=broken, undone=isinstance(error, RequestRefused)
    )


def _truncated(error: ExchangeError, binding: Binding, request: Any, in_body: bool) -> Outcome:
    if in_body:
        truncated = binding.error(TruncatedBody)(str(error), request=request)
        return Outcome(kind=FailureKind.truncated, error=truncated)
    if any(map(is_alert, causes_of(error))):
        # In TLS 1.3 a server may refuse the client's certificate after the handshake.
        return Outcome(
            kind=FailureKind.tls, error=binding.error(TLSError)(str(error), request=request)
        )
    if error.__cause__ is not None or isinstance(error, EngineClosed):
        # httpx, too, raises a ReadError for a reset or its own closing, but not for a peer's
        # orderly, early end.
        reset = binding.library.ReadError(str(error), request=request)
        return Outcome(kind=FailureKind.protocol, error=reset)
    return _protocol(error, binding, request, in_body)


def _too_large(error: ExchangeError, binding: Binding, request: Any, in_body: bool) -> Outcome:
    if not in_body or not isinstance(error, ResponseTooLarge):
        return _protocol(error, binding, request, in_body)
    too_large = binding.error(BodyTooLarge)(error.limit, request=request)
    return Outcome(kind=FailureKind.too_large, error=too_large)


def _invalid(error: ExchangeError, binding: Binding, request: Any, _: bool) -> Outcome:
    invalid = binding.library.LocalProtocolError(str(error), request=request)
    return Outcome(kind=FailureKind.invalid_request, error=invalid)


# Kinds of errors without a connection, unless our own side could not make one.
_CONNECTING = {"dns", "connect", "tls"}
# Kinds of errors that are not about the server.
_OURS = {"blocked", "invalid_request", "proxy"}

_SORTED = {
    "dns": _dns,
    "connect": _connect,
    "tls": _tls,
    "proxy": _proxy,
    "blocked": _blocked,
    "protocol": _protocol,
    "truncated": _truncated,
    "too_large": _too_large,
    "invalid_request": _invalid,
}
