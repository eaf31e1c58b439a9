"""
The kinds of failure of one request, and the exceptions that this package adds to those of httpx.

They name conditions, not places. Each class derives from the exception with which httpx would
report the same condition, so that `except httpx.HTTPError` keeps working. Raising, catching and
retrying live elsewhere.

    httpx.HTTPError
    ├── httpx.HTTPStatusError
    │   └── RetryAfterTooLong     the server asks for a longer wait than the policy allows
    └── httpx.RequestError
        ├── BodyConsumed          the request's body can be read only once, and has been
        ├── BodyTooLarge          the decoded body passed `max_body`
        ├── ChecksumMismatch      the body differs from the request's `checksum`
        ├── HostPaused            not sent: its host is paused for longer than it may wait
        ├── InDoubt               sent by a program that ended before it had the answer
        ├── NotStarted            the batch ended before the request was sent
        ├── httpx.ConnectError
        │   ├── DNSError          the host name did not resolve
        │   ├── TLSError          the TLS handshake or the certificate failed
        │   ├── AddressBlocked    `addresses` allows none of the host's addresses
        │   └── HostDown          not sent: the host failed too often in a row
        ├── httpx.ProxyError
        │   └── ProxyError        a proxy cannot be reached, refuses, or does not speak as one
        ├── httpx.RemoteProtocolError
        │   └── TruncatedBody     the connection ended before the body did
        └── httpx.TimeoutException
            ├── AttemptTimeout    one attempt took longer than `timeout`
            ├── httpx.ReadTimeout
            │   └── TooSlow       the response came below `minimum_rate`
            └── DeadlineExceeded  request or batch took longer than it may

    RuntimeError
    └── FetcherClosed             the fetcher is not open: never entered, or already left

    OSError
    └── JournalError              a journal cannot be used; names the file and the reason
        ├── JournalChanged        `strict`: it was written with other options
        ├── JournalFull           there is no space for more results
        ├── JournalInUse          another batch writes to it
        └── NotAJournal           the file is no journal, damaged, or of a newer version
"""

from __future__ import annotations

import contextlib
from enum import StrEnum
from typing import Any

import httpx

from asyncbatch._values._pickling import reduced


def message_of(error: BaseException) -> str:
    """Return the text of an error, or `""` if its `__str__` raises, as a caller's class may."""
    try:
        return str(error)
    except Exception:
        return ""


def add_note(error: BaseException, note: str) -> None:
    """Add a note to an error, if it takes notes; a frozen dataclass does not."""
    with contextlib.suppress(Exception):
        error.add_note(note)


class FailureKind(StrEnum):
    """Why a request failed, in one word."""

    status = "status"
    """A complete response with a status of 400 or above."""
    dns = "dns"
    """The host name did not resolve."""
    connect = "connect"
    """No connection: refused, unreachable, or cut while connecting."""
    tls = "tls"
    """The TLS handshake or the check of the certificate failed."""
    timeout = "timeout"
    """
    A time limit passed (of a phase, the attempt, the request or the batch), or the response came
    more slowly than `minimum_rate`.
    """
    protocol = "protocol"
    """The server closed the connection before a response, or did not speak HTTP."""
    truncated = "truncated"
    """The body ended early."""
    decode = "decode"
    """The body cannot be decoded by its `Content-Encoding`."""
    proxy = "proxy"
    """
    A proxy cannot be reached, refuses (407, any answer to CONNECT but 2xx, any reply of SOCKS5 but
    success), ends early, or sends invalid bytes. It says nothing about the request's host.
    """
    redirect = "redirect"
    """Too many redirects, or a `Location` that is not a usable URL."""
    too_large = "too_large"
    """The decoded body passed `max_body`."""
    blocked = "blocked"
    """The option `addresses` allows none of the host's addresses."""
    host_down = "host_down"
    """Not sent: the host failed too often in a row."""
    retry_after = "retry_after"
    """
    The server asks for a longer wait than `Retry.retry_after_max`, the deadline of the request or
    the end of the batch allows; or the host is paused for longer than the deadline allows.
    """
    invalid_request = "invalid_request"
    """The request cannot be sent: its URL, method, headers or body is invalid."""
    callback = "callback"
    """
    Code of the caller raised: a hook, an authentication, `check`, `Retry.when`, the file or
    iterable of a body, a mock or a transport. The error is that exception, with its traceback.
    """
    disk = "disk"
    """
    The file that the body goes to cannot be written: no space, no permission, a folder or a link in
    its place, another program that writes it. The error is an `OSError`.
    """
    checksum = "checksum"
    """The body differs from `Request.checksum`, twice in a row; there is no file."""
    not_started = "not_started"
    """The batch ran out of time before the request was sent."""
    in_doubt = "in_doubt"
    """
    Not sent again: by its journal, the request may have been sent by a program that ended before it
    had the answer, or the body of the answer is gone, and it must not be sent twice.
    """


class FetcherClosed(RuntimeError):
    """The fetcher is not open."""


class BodyTooLarge(httpx.RequestError):
    """The decoded body passed `max_body`; none of it was kept."""

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self)

    def __init__(self, limit: int, *, request: httpx.Request | None = None) -> None:
        super().__init__(f"The decoded body passed max_body={limit} bytes", request=request)
        self.limit = limit


class ChecksumMismatch(httpx.RequestError):
    """
    The body differs from the request's `checksum`.

    Attributes:
        expected: The checksum of the request.
        found: That of the body, in the same form.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self)

    def __init__(self, expected: str, found: str, *, request: httpx.Request | None = None) -> None:
        super().__init__(f"The body has the checksum {found}, not {expected}", request=request)
        self.expected = expected
        self.found = found


class BodyConsumed(httpx.RequestError):
    """The request had to be sent again, but its body has been read and cannot be rewound."""

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self)

    def __init__(self, reason: str, *, request: httpx.Request | None = None) -> None:
        super().__init__(f"The body cannot be sent again: {reason}", request=request)
        self.reason = reason


class HostPaused(httpx.RequestError):
    """The request was not sent, because its host is paused for longer than it may wait."""

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self)

    def __init__(
        self, host: str, *, seconds: float, limit: float, request: httpx.Request | None = None
    ) -> None:
        super().__init__(
            f"Not sent: {host} is paused for another {seconds:.3g} s, "
            f"and {limit:.3g} s are left of the deadline",
            request=request,
        )
        self.host = host
        self.seconds = seconds
        self.limit = limit


class InDoubt(httpx.RequestError):
    """The request may have been sent before its program ended, and must not be sent twice."""


class NotStarted(httpx.RequestError):
    """The batch ended before the request was sent."""

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self)

    def __init__(self, batch_timeout: float, *, request: httpx.Request | None = None) -> None:
        super().__init__(
            f"Not sent: batch_timeout={batch_timeout:g} s ended before its turn came",
            request=request,
        )
        self.batch_timeout = batch_timeout


class DNSError(httpx.ConnectError):
    """The host name did not resolve; the resolver's error is the `__cause__`."""


class TLSError(httpx.ConnectError):
    """The TLS handshake failed; the `ssl.SSLError` is in the chain of causes."""


class AddressBlocked(httpx.ConnectError):
    """The option `addresses` allows none of the addresses that the host name resolves to."""


class HostDown(httpx.ConnectError):
    """The request was not sent, because its host failed too often in a row."""

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self)

    def __init__(self, host: str, *, request: httpx.Request | None = None) -> None:
        super().__init__(f"Not sent: no answer from {host}, many times in a row", request=request)
        self.host = host


class ProxyError(httpx.ProxyError):
    """
    A proxy failed or refused. The message names it without credentials.

    Attributes:
        proxy: The URL of the proxy, without credentials; `None` if no proxy was left to try.
        status_code: The status of its refusal, if it is an HTTP proxy and refused.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self)

    def __init__(
        self,
        message: str,
        *,
        proxy: str | None,
        status_code: int | None = None,
        request: httpx.Request | None = None,
    ) -> None:
        super().__init__(message, request=request)
        self.proxy = proxy
        self.status_code = status_code


class TruncatedBody(httpx.RemoteProtocolError):
    """The connection or the compressed stream ended before the body was complete."""


class AttemptTimeout(httpx.TimeoutException):
    """One attempt, its body included, took longer than `timeout`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self)

    def __init__(self, timeout: float, *, request: httpx.Request | None = None) -> None:
        super().__init__(f"The attempt took longer than timeout={timeout:g} s", request=request)
        self.timeout = timeout


class TooSlow(httpx.ReadTimeout):
    """The response came, but more slowly than `minimum_rate`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self)

    def __init__(self, minimum_rate: float, *, request: httpx.Request | None = None) -> None:
        super().__init__(
            f"The response came below minimum_rate={minimum_rate:g} bytes per second",
            request=request,
        )
        self.minimum_rate = minimum_rate


class DeadlineExceeded(httpx.TimeoutException):
    """The request took longer than `deadline`, or the call longer than `batch_timeout`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self)

    def __init__(
        self, option: str, seconds: float, *, request: httpx.Request | None = None
    ) -> None:
        super().__init__(f"Not finished within {option}={seconds:g} s", request=request)
        self.option = option
        self.seconds = seconds


class RetryAfterTooLong(httpx.HTTPStatusError):
    """The server asks for a longer wait than the policy allows."""

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self)

    def __init__(
        self,
        retry_after: float,
        *,
        limit: float,
        option: str = "retry_after_max",
        request: httpx.Request,
        response: httpx.Response,
    ) -> None:
        longer = f"more than retry_after_max={limit:g} s"
        if option != "retry_after_max":
            longer = f"and {limit:.3g} s are left of {option}"
        # Not `super().__init__`: in the httpx2 variant of this class, the next initialiser is that
        # of httpx2, which takes other arguments.
        Exception.__init__(
            self,
            f"{response.status_code} with Retry-After of {retry_after:g} s, {longer}",
        )
        self.request = request
        self.response = response
        self.retry_after = retry_after
        self.limit = limit
        self.option = option


class JournalError(OSError):
    """
    A journal cannot be used.

    Attributes:
        filename: The path of the journal.
        reason: Why, in a sentence.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.filename = path
        self.reason = reason

    def __str__(self) -> str:
        # An OSError with a file name, and without a number, would show nothing else.
        return f"{self.filename}: {self.reason}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.filename, self.reason), {}


class JournalInUse(JournalError):
    """Another batch, of this program or of another one, writes to the journal."""


class NotAJournal(JournalError):
    """The file is not a journal, is damaged, or was written by a newer version; it is unchanged."""


class JournalChanged(JournalError):
    """
    The journal was written with other options, and `strict` is set.

    Attributes:
        options: The names of the options that differ.
    """

    def __init__(self, path: str, reason: str, options: tuple[str, ...] = ()) -> None:
        super().__init__(path, reason)
        self.options = options

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.filename, self.reason, self.options), {}


class JournalFull(JournalError):
    """
    There is no space for more results. Exactly those in the journal have been delivered.

    Attributes:
        committed: The number of results that this batch has written.
        lost: The number of results that arrived and could not be written. The next run sends their
            requests again, unless that is unsafe.
    """

    def __init__(self, path: str, reason: str, committed: int = 0, lost: int = 0) -> None:
        super().__init__(path, f"{reason}; {committed:,} results were written, {lost:,} were not")
        self.committed = committed
        self.lost = lost
        self._why = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.filename, self._why, self.committed, self.lost), {}
