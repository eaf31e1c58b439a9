"""
The names and values of OpenTelemetry's conventions for HTTP clients; nothing here needs its API.

The conventions are the stable ones (https://opentelemetry.io/docs/specs/semconv/http/).
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple, TypeAlias

from asyncbatch._values._errors import FailureKind
from asyncbatch._values._host_key import HostKey
from asyncbatch._values._masking import masked_text, masked_url
from asyncbatch._values._urls import BLANKS

Attributes: TypeAlias = dict[str, str | int]

SCHEMA = "https://opentelemetry.io/schemas/1.37.0"
"""The version of the conventions that the names are of; all of them are stable since 1.23."""

DURATION = "http.client.request.duration"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The boundaries of the histogram, in seconds."""

METHOD = "http.request.method"
ORIGINAL_METHOD = "http.request.method_original"
RESEND_COUNT = "http.request.resend_count"
STATUS_CODE = "http.response.status_code"
URL = "url.full"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
VERSION = "network.protocol.version"
PEER_ADDRESS = "network.peer.address"
PEER_PORT = "network.peer.port"
ERROR_TYPE = "error.type"

OTHER = "_OTHER"
"""The value of `METHOD` for a method that is not known."""
CANCELLED = "cancelled"
"""The value of `ERROR_TYPE` for an attempt that was cancelled, and not by a limit."""

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY")
_METHODS_VARIABLE = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS"

# Without these, no part of a URL is secret.
_MARKS = re.compile("[?#;@%]")
# What the conventions put in the place of secrets.
_REDACTED = "REDACTED"
_LONGEST_MESSAGE = 300


class Description(NamedTuple):
    """The common attributes of the spans and measurements of similar requests."""

    name: str
    """That of the span."""
    of_span: Attributes
    of_metric: Attributes


class Descriptions:
    """
    Makes descriptions, and caches them for similar requests.

    The known methods are those of the conventions, unless the environment names others.
    """

    MOST = 4096
    """Number that is kept; a batch over more hosts makes them again."""

    def __init__(self) -> None:
        given = os.environ.get(_METHODS_VARIABLE, "")
        named = [name.strip() for name in given.split(",") if name.strip()]
        self._methods = frozenset(named or _METHODS)
        self._made: dict[tuple[object, ...], Description] = {}

    def of(
        self,
        method: str,
        origin: HostKey,
        status: int | None,
        version: str | bytes,
        error_type: str | None,
    ) -> Description:
        """
        Return the description of a request.

        Args:
            method: Its method.
            origin: The origin of its URL.
            status: The status of its response, `None` if there was none.
            version: The protocol of that response, such as `HTTP/1.1`.
            error_type: Why it failed.
        """
        key = method, origin, status, version, error_type
        found = self._made.get(key)
        if found is None:
            if len(self._made) >= self.MOST:
                self._made.clear()
            found = self._made[key] = self._describe(method, origin, status, version, error_type)
        return found

    def _describe(
        self,
        method: str,
        origin: HostKey,
        status: int | None,
        version: str | bytes,
        error_type: str | None,
    ) -> Description:
        is_known = method in self._methods
        _, host, port = origin
        common: Attributes = {
            METHOD: method if is_known else OTHER,
            SERVER_ADDRESS: host,
            SERVER_PORT: port,
        }
        if status is not None:
            common[STATUS_CODE] = status
            common[VERSION] = _number_of(version)
        if error_type is not None:
            common[ERROR_TYPE] = error_type
        of_span = common if is_known else {**common, ORIGINAL_METHOD: method}
        return Description(method if is_known else "HTTP", of_span, common)


def _number_of(version: str | bytes) -> str:
    """Return the number of a protocol: "1.1" of `HTTP/1.1`, "2" of `HTTP/2`."""
    text = version.decode("ascii", "replace") if isinstance(version, bytes) else version
    return text.rpartition("/")[2]


def shown_url(url: str) -> str:
    """Return a URL without its user name, its password and the secrets of its query."""
    url = url.strip(BLANKS)
    if url.isascii() and _MARKS.search(url) is None:
        return url
    return _as_agreed(masked_url(url))


def _as_agreed(masked: str) -> str:
    return masked.replace("[secure]@", f"{_REDACTED}:{_REDACTED}@").replace(
        "=[secure]", f"={_REDACTED}"
    )


def message_of(error: Exception, url: str, kind: FailureKind | None) -> str:
    """Return a text for an error, without secrets. Of the caller's errors it is only the class."""
    name = type(error).__name__
    if kind is FailureKind.callback:
        return name
    return f"{name}: {masked_text(str(error), url)}"[:_LONGEST_MESSAGE]


def error_type_of(kind: FailureKind | None, status: int | None) -> str | None:
    """Return the value of `ERROR_TYPE`: the status if that is the failure, else the kind."""
    if kind is None:
        return None
    return str(status) if kind is FailureKind.status and status is not None else kind.value
