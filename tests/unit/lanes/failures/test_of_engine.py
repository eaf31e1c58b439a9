"""The engine's errors as outcomes, each in the terms of both libraries."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import Any

import pytest

from asyncbatch import (
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
from asyncbatch._engine import (
    AddressRefused,
    ConnectFailed,
    ContextFailed,
    EngineClosed,
    HandshakeFailed,
    ProxyFailed,
    ResolveFailed,
    SentTooSlowly,
    TimedOut,
)
from asyncbatch._engine.http11 import (
    ExchangeError,
    InvalidRequest,
    ProtocolError,
    ResponseTooLarge,
    TruncatedResponse,
)
from asyncbatch._lanes.client._binding import binding_of
from asyncbatch._lanes.failures._of_engine import engine_outcome
from asyncbatch._values._outcome import Outcome

NO_DESCRIPTOR = OSError(errno.EMFILE, "too many open files")
ALERT = ssl.SSLError(1, "alert")
ALERT.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"


def of(error: ExchangeError, cause: BaseException | None = None) -> ExchangeError:
    """Give an error its cause."""
    error.__cause__ = cause
    return error


def cut(*, received: bool) -> TruncatedResponse:
    return TruncatedResponse("cut", received=received)


def outcome_of(library: Any, error: ExchangeError, **facts: Any) -> Outcome:
    request = library.Request("GET", "http://a.test/")
    facts = {"in_body": False, **facts}
    return engine_outcome(error, binding_of(library.AsyncClient()), request, **facts)


# Error, its cause and whether it came in the body; kind, class, and what of the outcome is set.
CASES: list[Any] = [
    (ResolveFailed("x"), None, False, "dns", DNSError, {"connect_failed", "silent"}),
    (
        *(ResolveFailed("x"), socket.gaierror(socket.EAI_NONAME, ""), False, "dns", DNSError),
        {"connect_failed", "permanent", "silent"},
    ),
    (ResolveFailed("x"), NO_DESCRIPTOR, False, "connect", "ConnectError", {"local"}),
    (ConnectFailed("x"), None, False, "connect", "ConnectError", {"connect_failed", "silent"}),
    (ConnectFailed("x"), NO_DESCRIPTOR, False, "connect", "ConnectError", {"local"}),
    (HandshakeFailed("x"), None, False, "tls", TLSError, {"connect_failed", "silent"}),
    (
        *(HandshakeFailed("x"), ssl.SSLCertVerificationError(1, ""), False, "tls", TLSError),
        {"connect_failed", "permanent", "silent"},
    ),
    (HandshakeFailed("x"), NO_DESCRIPTOR, False, "connect", "ConnectError", {"local"}),
    (ContextFailed("x"), None, False, "tls", TLSError, {"permanent"}),
    (ProxyFailed("http://p.test", "x"), None, False, "proxy", ProxyError, set()),
    (ProxyFailed("http://p.test", "x"), NO_DESCRIPTOR, False, "connect", "ConnectError", {"local"}),
    (AddressRefused("x"), None, False, "blocked", AddressBlocked, {"permanent"}),
    (ProtocolError("x"), None, False, "protocol", "RemoteProtocolError", {"heard"}),
    (cut(received=False), None, False, "protocol", "RemoteProtocolError", {"silent"}),
    (cut(received=True), None, False, "protocol", "RemoteProtocolError", {"heard"}),
    (cut(received=False), OSError(), False, "protocol", "ReadError", {"silent"}),
    (cut(received=False), ALERT, False, "tls", TLSError, {"silent"}),
    (cut(received=True), None, True, "truncated", TruncatedBody, {"heard"}),
    (EngineClosed("x"), None, False, "protocol", "ReadError", set()),
    (ResponseTooLarge("x", limit=7), None, False, "protocol", "RemoteProtocolError", {"heard"}),
    (ResponseTooLarge("x", limit=7), None, True, "too_large", BodyTooLarge, {"heard"}),
    (InvalidRequest("x"), None, False, "invalid_request", "LocalProtocolError", set()),
    (TimedOut("pool"), None, False, "timeout", "PoolTimeout", {"local"}),
    (TimedOut("connect"), None, False, "timeout", "ConnectTimeout", {"connect_failed", "silent"}),
    (TimedOut("write"), None, False, "timeout", "WriteTimeout", {"silent"}),
    (TimedOut("read"), None, False, "timeout", "ReadTimeout", {"silent"}),
    (TimedOut("read"), None, True, "timeout", "ReadTimeout", {"heard"}),
    (TimedOut("total"), None, False, "timeout", AttemptTimeout, {"cut", "silent"}),
    (SentTooSlowly(5.0), None, True, "timeout", TooSlow, {"heard"}),
]


@pytest.mark.parametrize(("error", "cause", "in_body", "kind", "name", "flags"), CASES)
def test_each_error_is_of_a_kind(
    library: Any,
    error: ExchangeError,
    cause: BaseException | None,
    in_body: bool,
    kind: str,
    name: Any,
    flags: set[str],
) -> None:
    """With its class, and with what it tells of the server."""
    outcome = outcome_of(library, of(error, cause), in_body=in_body)

    assert outcome.kind == FailureKind(kind)
    assert isinstance(outcome.error, getattr(library, name) if isinstance(name, str) else name)
    told = {"connect_failed", "permanent", "local", "cut"}
    found = {flag for flag in told if getattr(outcome, flag)}
    if outcome.heard is not None:
        found.add("heard" if outcome.heard else "silent")
    assert found == flags


def test_an_error_keeps_its_cause_and_no_frames(library: Any) -> None:
    """Frames would keep the connection, for as long as the result is kept."""

    def fail() -> None:
        raise ConnectFailed("refused") from OSError("why")

    with pytest.raises(ConnectFailed) as caught:
        fail()
    outcome = outcome_of(library, caught.value)

    assert outcome.error is not None
    assert outcome.error.__cause__ is caught.value
    assert caught.value.__traceback__ is None
    assert str(outcome.error) == "refused"
    assert outcome.error.request.url == "http://a.test/"  # type: ignore[attr-defined]


def test_limits_are_told_as_the_caller_set_them(library: Any) -> None:
    """The one on the decoded body, not what the engine was given for it."""
    too_large = outcome_of(library, ResponseTooLarge("x", limit=99), in_body=True, max_body=7).error
    timeout = outcome_of(library, TimedOut("total"), seconds=2.5).error
    too_slow = outcome_of(library, SentTooSlowly(5.0), in_body=True).error

    assert isinstance(too_large, BodyTooLarge)
    assert too_large.limit == 7
    assert isinstance(timeout, AttemptTimeout)
    assert "2.5" in str(timeout)
    assert isinstance(too_slow, TooSlow)
    assert "5" in str(too_slow)
