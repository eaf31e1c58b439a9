"""
Sort the exceptions of a client into kinds of failure.

Pure: takes an exception and the state of the attempt, and returns the outcome.
"""

from __future__ import annotations

import socket
import ssl
import traceback
from typing import Any

from asyncbatch._decoding import BodyCut, BodyLimitExceeded, CorruptBody, DecodingFailure
from asyncbatch._engine import AddressRefused, causes_of, is_exhausted
from asyncbatch._engine.http11 import ExchangeError
from asyncbatch._lanes.client._binding import Binding
from asyncbatch._lanes.failures._attempt_state import AttemptState
from asyncbatch._lanes.failures._callers import (
    CallersError,
    callers_error,
    is_callers,
    is_hooks,
)
from asyncbatch._lanes.failures._causes import is_alert, is_of_connection, is_permanent
from asyncbatch._lanes.failures._kept_error import drop_frames, without_secrets
from asyncbatch._lanes.failures._of_engine import blame_proxy, engine_outcome
from asyncbatch._values._body_source import UnreadableBody, WrongPiece
from asyncbatch._values._errors import (
    BodyConsumed,
    BodyTooLarge,
    DNSError,
    FailureKind,
    TLSError,
    TruncatedBody,
)
from asyncbatch._values._outcome import Outcome

# The exceptions of these libraries are about the connection, wherever they are raised.
_PROTOCOLS = {"h11", "h2", "hpack", "hyperframe", "httpcore", "httpcore2", "socksio"}
_WIRE_LIBRARIES = {"anyio", "trio", *_PROTOCOLS}
_LOOPS = {"anyio", "trio", "asyncio"}

# Errors of a library that has lost track of its state, if one of its own lines raised them.
_TRIPS = (AssertionError, AttributeError, LookupError, RuntimeError, ValueError)

# What h11 says of an end within a body, or within the framing of its chunks.
_CUT = ("peer closed connection", "peer unexpectedly closed connection")

# What httpcore says of a connection that ended before a response.
_NO_RESPONSE = "server disconnected"


def outcome_of(error: Exception, state: AttemptState, binding: Binding) -> Outcome:
    """
    Return the outcome that `error` makes of an attempt.

    The outcome's error is `error` or has it as a cause. It keeps no frames alive except those of
    the caller's code that raised it.
    """
    if isinstance(error, CallersError):
        return callback_outcome(error.error)
    of_hook = is_hooks(error)
    if of_hook and _is_of_response(error, state, binding.library):
        state.in_body = True
    elif of_hook or _is_callers(error, binding.library):
        return callback_outcome(without_secrets(error, state.request, binding.library))
    error = without_secrets(error, state.request, binding.library)
    if (engine_error := _engine_error(error, binding.library)) is not None:
        return _engine_outcome(engine_error, state, binding)
    if isinstance(error, WrongPiece):
        outcome = Outcome(kind=FailureKind.invalid_request, error=error)
    elif isinstance(error, DecodingFailure | MemoryError):
        outcome = decoding_outcome(error, state.request, binding)
    else:
        outcome = _library_outcome(error, state, binding)
    outcome.heard = _heard(error, outcome, state, binding.library)
    assert outcome.error is not None
    if outcome.error is not error:
        outcome.error.__cause__ = error
    drop_frames(outcome.error, binding)
    return outcome


def callback_outcome(error: Exception) -> Outcome:
    """Return the outcome of a request that the caller's code has failed."""
    return Outcome(kind=FailureKind.callback, error=callers_error(error))


def _is_callers(error: Any, library: Any) -> bool:
    """Whether an error that no hook has raised is the caller's own."""
    if isinstance(error, library.HTTPStatusError) and not hasattr(error.response, "status_code"):
        return True  # made by hand, without a response
    # A transport, or a mock of one, reports the end of a request by an error of httpx.
    return is_callers(error) and not isinstance(
        error, library.HTTPError | library.InvalidURL | library.StreamError
    )


def _is_of_response(error: Any, state: AttemptState, library: Any) -> bool:
    """
    Whether an error that a hook raises is about the response that the hook was given.

    A hook may call `raise_for_status`, or read a body that breaks off or does not decode. Then the
    server's answer is the failure, not the hook. Errors of the hook's own requests name these.
    """
    if isinstance(error, library.HTTPStatusError):
        return _is_of(error, state.request)
    if not isinstance(error, library.TransportError | library.DecodingError):
        return False
    has_head = state.in_body or state.trace.heard
    return has_head and getattr(error, "_request", None) is state.request


def _is_of(error: Any, request: Any) -> bool:
    """Whether a status error is about the request in progress; it may be about none at all."""
    try:
        return error.request is request and hasattr(error.response, "status_code")
    except RuntimeError:  # httpx raises it if the error was made without a request
        return False


def invalid_outcome(error: Exception, binding: Binding) -> Outcome:
    """Return the outcome of a request that could not be built."""
    error = without_secrets(error, None, binding.library)
    error.with_traceback(None)
    return Outcome(kind=FailureKind.invalid_request, error=error)


def unreadable_outcome(error: UnreadableBody, request: Any, binding: Binding) -> Outcome:
    """Return the outcome of a request whose body would be incomplete if it were sent again."""
    consumed = binding.error(BodyConsumed)(str(error), request=request)
    return Outcome(kind=FailureKind.invalid_request, error=consumed)


def _engine_error(error: Exception, library: Any) -> ExchangeError | None:
    """
    Return the engine's own error, which says more, if `error` wraps one.

    Only the wrapping by httpcore and by the client is undone. An error that a transport or a hook
    of the caller's makes of it is taken as it is.
    """
    if not isinstance(error, library.TransportError) or error.__cause__ is None:
        return None
    origin = error.__cause__.__cause__
    if isinstance(origin, ExchangeError):
        return origin
    # When httpcore connects on trio, it drops the cause of the error that our address check raises.
    refusals = (each for each in causes_of(error) if isinstance(each, AddressRefused))
    return next(refusals, None) if isinstance(error, library.ConnectError) else None


def _engine_outcome(error: ExchangeError, state: AttemptState, binding: Binding) -> Outcome:
    outcome = engine_outcome(error, binding, state.request, in_body=state.in_body)
    if outcome.kind is not FailureKind.dns:  # if it is, all of the time was the look-up
        state.trace.tell_dns(error.dns)
    if state.hops:
        outcome.connect_failed = False
        outcome.heard = None if outcome.of_proxy else True
        outcome.undone = False
    if outcome.kind is FailureKind.invalid_request and state.redirected:
        outcome.kind = FailureKind.redirect
    return outcome


def _heard(error: Exception, outcome: Outcome, state: AttemptState, library: Any) -> bool | None:
    """Whether a byte of a response came; `None` if unknown."""
    if state.heard:
        return True
    if not isinstance(error, library.TransportError) or outcome.local:
        return None
    if isinstance(
        error, library.ProxyError | library.LocalProtocolError | library.UnsupportedProtocol
    ):
        return None
    if isinstance(error, library.RemoteProtocolError):
        # Any other message means that bytes came, though not valid HTTP.
        return not str(error).lower().startswith(_NO_RESPONSE)
    return state.heard


def decoding_outcome(error: Exception, request: Any, binding: Binding) -> Outcome:
    """Return the outcome of a response that arrived and was not decoded, for any reason."""
    public = binding.error
    match error:
        case BodyLimitExceeded():
            too_large = public(BodyTooLarge)(error.limit, request=request)
            return Outcome(kind=FailureKind.too_large, error=too_large)
        case BodyCut():
            truncated = public(TruncatedBody)(str(error), request=request)
            return Outcome(kind=FailureKind.truncated, error=truncated)
        case _:
            # The body is corrupt, or there is no memory or thread to decode it.
            text = str(error) if isinstance(error, CorruptBody) else f"not decoded: {error!r}"
            undecoded = binding.library.DecodingError(text, request=request)
            undecoded.__cause__ = error
            return Outcome(kind=FailureKind.decode, error=undecoded)


def _library_outcome(error: Exception, state: AttemptState, binding: Binding) -> Outcome:
    library = binding.library
    match error:
        case library.TimeoutException():
            return _timeout_outcome(error, state, library)
        case library.ConnectError():
            return _connect_outcome(error, state, binding)
        case library.ProxyError():
            return _proxy_outcome(error, state)
        case library.TooManyRedirects():
            return Outcome(kind=FailureKind.redirect, error=error)
        case library.DecodingError():
            return Outcome(kind=FailureKind.decode, error=error)
        case library.HTTPStatusError():  # raised by an event hook of the caller's
            status = error.response.status_code
            return Outcome(kind=FailureKind.status, error=error, status_code=status)
        case library.LocalProtocolError():
            return _local_outcome(error, state)
        case library.InvalidURL() if state.sent:
            # The URL of the request was checked before, so httpx refuses a `Location`.
            return Outcome(kind=FailureKind.redirect, error=error)
        case library.InvalidURL() | library.UnsupportedProtocol() | library.StreamError():
            return _unsendable(error, state)
        case library.TransportError():
            return _broken_outcome(error, state, binding)
        case UnicodeError():  # a host name that IDNA cannot encode
            return _unsendable(error, state)
        case _:
            return _foreign_outcome(error, state, binding)


def _proxy_outcome(error: Exception, state: AttemptState) -> Outcome:
    outcome = Outcome(kind=FailureKind.proxy, error=error)
    # httpcore raises it for a tunnel or SOCKS5, before the request is sent; a transport of the
    # caller's may raise it at any time.
    blame_proxy(outcome, is_unsent=not state.trace.sending)
    # httpcore's message begins with the status of the proxy's answer.
    outcome.permanent = str(error).startswith("407")
    return outcome


def _timeout_outcome(error: Exception, state: AttemptState, library: Any) -> Outcome:
    return Outcome(
        kind=FailureKind.timeout,
        error=error,
        # After a redirect another host is out of reach, and the first has received the request.
        connect_failed=isinstance(error, library.ConnectTimeout) and not state.hops,
        local=isinstance(error, library.PoolTimeout),
    )


def _connect_outcome(error: Exception, state: AttemptState, binding: Binding) -> Outcome:
    request, first = state.request, not state.hops
    causes = list(causes_of(error))
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return Outcome(
                kind=FailureKind.dns,
                error=binding.error(DNSError)(str(error), request=request),
                connect_failed=first,
                permanent=is_permanent(cause),
            )
        if is_exhausted(cause):
            return Outcome(kind=FailureKind.connect, error=error, local=True)
    if state.trace.handshaking or any(isinstance(cause, ssl.SSLError) for cause in causes):
        text = str(error) or "The connection ended during the TLS handshake"
        return Outcome(
            kind=FailureKind.tls,
            error=binding.error(TLSError)(text, request=request),
            connect_failed=first,
            permanent=any(map(is_permanent, causes)),
        )
    return Outcome(kind=FailureKind.connect, error=error, connect_failed=first)


def _broken_outcome(error: Exception, state: AttemptState, binding: Binding) -> Outcome:
    request = state.request
    if "Invalid URL in location header" in str(error):
        return Outcome(kind=FailureKind.redirect, error=error)
    if state.in_body and _is_cut(error, binding.library):
        text = str(error) or "The connection broke before the body was complete"
        truncated = binding.error(TruncatedBody)(text, request=request)
        return Outcome(kind=FailureKind.truncated, error=truncated)
    if not state.in_body and any(map(is_alert, causes_of(error))):
        # In TLS 1.3 a server may refuse the client's certificate after the handshake.
        return Outcome(
            kind=FailureKind.tls,
            error=binding.error(TLSError)(str(error) or "TLS alert", request=request),
        )
    return Outcome(kind=FailureKind.protocol, error=error)


def _is_cut(error: Exception, library: Any) -> bool:
    # A reset is a ReadError. An end of stream and a broken chunk are both a RemoteProtocolError;
    # only h11's message tells them apart.
    return isinstance(error, library.ReadError) or str(error).startswith(_CUT)


def _unsendable(error: Exception, state: AttemptState) -> Outcome:
    kind = FailureKind.redirect if state.redirected else FailureKind.invalid_request
    return Outcome(kind=kind, error=error)


def _local_outcome(error: Exception, state: AttemptState) -> Outcome:
    """Sort an error that a protocol library takes for a mistake of the local side."""
    if is_of_connection(error, sending=state.trace.sending):
        # The connection has lost count of its streams or received GOAWAY: a new one works.
        return Outcome(kind=FailureKind.protocol, error=error)
    return _unsendable(error, state)


def _raised_in(error: Exception) -> str:
    """Return the package whose line raised `error`, or called the event loop code that did."""
    package = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        name = (frame.f_globals.get("__name__") or "").partition(".")[0]
        if name not in _LOOPS:  # their semaphores raise if they are released too often
            package = name
    return package


def _foreign_outcome(error: Exception, state: AttemptState, binding: Binding) -> Outcome:
    """Sort an error that is not the client's, from below it or from preparing the request."""
    if isinstance(error, TimeoutError):
        return Outcome(kind=FailureKind.timeout, error=error)
    if isinstance(error, OSError):
        outcome = _connect_outcome(error, state, binding)
        # It is unknown how far the request got.
        outcome.connect_failed = False
        if isinstance(error, ConnectionError) and not isinstance(error, ConnectionRefusedError):
            outcome.kind = FailureKind.truncated if state.in_body else FailureKind.protocol
        return outcome
    if type(error).__name__ == "LocalProtocolError":  # h11's, which httpcore has not mapped
        return _local_outcome(error, state)
    if type(error).__module__.partition(".")[0] in _WIRE_LIBRARIES:
        return Outcome(kind=FailureKind.protocol, error=error)
    if isinstance(error, _TRIPS) and _raised_in(error) in _PROTOCOLS:
        return Outcome(kind=FailureKind.protocol, error=error)
    return Outcome(kind=FailureKind.invalid_request, error=error)
