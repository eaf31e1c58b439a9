"""Names and values by the conventions for HTTP clients."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.semconv import schemas
from opentelemetry.semconv.attributes import (
    error_attributes,
    http_attributes,
    network_attributes,
    server_attributes,
    url_attributes,
)
from opentelemetry.semconv.metrics import http_metrics

from asyncbatch import FailureKind
from asyncbatch.telemetry import _attributes as ours
from asyncbatch.telemetry._attributes import (
    Descriptions,
    error_type_of,
    message_of,
    shown_url,
)

pytestmark = pytest.mark.any_loop

ORIGIN = ("https", "a.test", 443)


def test_names_are_those_of_the_conventions() -> None:
    """As the package of OpenTelemetry has them."""
    theirs = {
        ours.METHOD: http_attributes.HTTP_REQUEST_METHOD,
        ours.ORIGINAL_METHOD: http_attributes.HTTP_REQUEST_METHOD_ORIGINAL,
        ours.RESEND_COUNT: http_attributes.HTTP_REQUEST_RESEND_COUNT,
        ours.STATUS_CODE: http_attributes.HTTP_RESPONSE_STATUS_CODE,
        ours.URL: url_attributes.URL_FULL,
        ours.SERVER_ADDRESS: server_attributes.SERVER_ADDRESS,
        ours.SERVER_PORT: server_attributes.SERVER_PORT,
        ours.PEER_ADDRESS: network_attributes.NETWORK_PEER_ADDRESS,
        ours.PEER_PORT: network_attributes.NETWORK_PEER_PORT,
        ours.VERSION: network_attributes.NETWORK_PROTOCOL_VERSION,
        ours.ERROR_TYPE: error_attributes.ERROR_TYPE,
        ours.DURATION: http_metrics.HTTP_CLIENT_REQUEST_DURATION,
        ours.OTHER: http_attributes.HttpRequestMethodValues.OTHER.value,
    }

    assert {name: name for name in theirs} == theirs
    assert ours.SCHEMA in {each.value for each in schemas.Schemas}
    known = {each.value for each in http_attributes.HttpRequestMethodValues} - {ours.OTHER}
    described = Descriptions()
    for method in known:
        assert described.of(method, ORIGIN, 200, b"HTTP/1.1", None).name == method


@pytest.mark.parametrize(
    ("version", "number"),
    [
        (b"HTTP/1.1", "1.1"),
        (b"HTTP/1.0", "1.0"),
        ("HTTP/2", "2"),
        ("h3", "h3"),
        (b"\xff", "\ufffd"),
    ],
)
def test_the_version_is_a_number(version: Any, number: str) -> None:
    """Of bytes and of text."""
    described = Descriptions().of("GET", ORIGIN, 200, version, None)

    assert described.of_span[ours.VERSION] == number


def test_descriptions_are_made_once_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that are alike share one, and many hosts do not fill the memory."""
    monkeypatch.setattr(Descriptions, "MOST", 10)
    descriptions = Descriptions()
    first = descriptions.of("GET", ORIGIN, 200, b"HTTP/1.1", None)

    assert descriptions.of("GET", ORIGIN, 200, b"HTTP/1.1", None) is first
    for number in range(100):
        descriptions.of("GET", ("http", f"{number}.test", 80), 200, b"HTTP/1.1", None)
        assert len(descriptions._made) <= 10


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://a.test/b", "http://a.test/b"),
        (" http://a.test/b\n", "http://a.test/b"),
        ("http://a.test/b?c=d#e", "http://a.test/b?c=d#e"),
        ("http://me:pw@a.test/", "http://REDACTED:REDACTED@a.test/"),
        ("http://me@a.test/", "http://REDACTED:REDACTED@a.test/"),
        ("http://a.test/?X-Amz-Signature=abc&x=1", "http://a.test/?X-Amz-Signature=REDACTED&x=1"),
        ("http://a.test/?X-Amz-Credential=abc", "http://a.test/?X-Amz-Credential=REDACTED"),
        ("http://a.test/?X-Amz-Security-Token=abc", "http://a.test/?X-Amz-Security-Token=REDACTED"),
        ("http://a.test/?X-Goog-Signature=abc", "http://a.test/?X-Goog-Signature=REDACTED"),
        ("http://a.test/?sig=abc", "http://a.test/?sig=REDACTED"),
        ("http://a.test/?api_key=abc;b=c", "http://a.test/?api_key=REDACTED;b=c"),
    ],
)
def test_a_url_is_told_without_secrets(url: str, told: str) -> None:
    """With the words of the conventions; all keys that they list are among ours."""
    assert shown_url(url) == told


@pytest.mark.parametrize(
    ("kind", "status", "told"),
    [
        (None, 200, None),
        (None, 416, None),
        (FailureKind.status, 503, "503"),
        (FailureKind.timeout, 200, "timeout"),
        (FailureKind.proxy, 407, "proxy"),
        (FailureKind.dns, None, "dns"),
    ],
)
def test_the_type_of_an_error(kind: FailureKind | None, status: int | None, told: str) -> None:
    """A failed status is told by its number, all else by its kind."""
    assert error_type_of(kind, status) == told


def test_a_message_has_no_secrets() -> None:
    """Those of the URL are masked, and of an error of the caller's only the class is told."""
    error = ValueError("no way to http://me:hunter2@a.test/")

    assert "hunter2" not in message_of(error, "http://me:hunter2@a.test/", FailureKind.connect)
    assert message_of(error, "http://a.test/", FailureKind.callback) == "ValueError"
    assert len(message_of(ValueError("x" * 9999), "http://a.test/", None)) <= 300
