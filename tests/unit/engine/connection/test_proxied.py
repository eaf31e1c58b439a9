"""Requests as a proxy is sent them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from asyncbatch._engine import Origin
from asyncbatch._engine._errors import ProxyFailed
from asyncbatch._engine.connection._proxied import ProxiedRequests, as_proxys_fault
from asyncbatch._engine.http11 import ProtocolError, TruncatedResponse
from asyncbatch._values._proxy import proxy_of

PROXY = proxy_of("http://u:p@proxy.test:3128")
OPEN = proxy_of("http://proxy.test:3128")


def origin(route: Any = PROXY, **given: Any) -> Origin:
    """Return an origin by way of a proxy."""
    return Origin(**{"is_tls": False, "host": "a.test", "port": 80, "route": route, **given})


@pytest.mark.parametrize(
    ("given", "line", "sent"),
    [
        ({}, b"GET /x?y HTTP/1.1", b"GET http://a.test/x?y HTTP/1.1"),
        ({"port": 81}, b"GET / HTTP/1.1", b"GET http://a.test:81/ HTTP/1.1"),
        ({"host": "::1", "port": 81}, b"GET / HTTP/1.1", b"GET http://[::1]:81/ HTTP/1.1"),
        ({}, b"OPTIONS * HTTP/1.1", b"OPTIONS http://a.test HTTP/1.1"),
        ({}, b"GET http://b.test/ HTTP/1.1", b"GET http://b.test/ HTTP/1.1"),
    ],
)
def test_a_request_that_is_forwarded_names_its_origin(
    given: dict[str, Any], line: bytes, sent: bytes
) -> None:
    """And has what lets it in; its body is left alone."""
    tail = b"\r\nHost: a.test\r\n\r\nPOST / body\r\n\r\n"
    requests = ProxiedRequests(origin(**given), PROXY)
    open_requests = ProxiedRequests(origin(OPEN, **given), OPEN)

    credentials = b"\r\nProxy-Authorization: Basic dTpw"
    assert requests.rewrite(line + tail) == sent + credentials + tail
    assert open_requests.rewrite(line + tail) == sent + tail


def test_credentials_of_the_request_win() -> None:
    """There are none of ours beside them."""
    payload = b"GET / HTTP/1.1\r\nproxy-authorization: own\r\n\r\n"

    sent = ProxiedRequests(origin(), PROXY).rewrite(payload)

    assert sent == b"GET http://a.test/ HTTP/1.1\r\nproxy-authorization: own\r\n\r\n"


@pytest.mark.parametrize(
    ("payload", "sent"),
    [
        (
            b"GET / HTTP/1.1\r\nProxy-Authorization: own\r\nHost: a\r\n\r\nProxy-Authorization: x",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\nProxy-Authorization: x",
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ],
)
def test_an_origin_gets_no_credentials_for_a_proxy(payload: bytes, sent: bytes) -> None:
    """Through a tunnel they would reach it."""
    requests = ProxiedRequests(origin(is_tls=True, port=443), PROXY)

    assert requests.rewrite(payload) == sent


def exchange(route: Any = PROXY, **given: Any) -> Any:
    facts = {"origin": origin(route), "first_byte_at": 0.0, "send_at": 5.0, **given}
    return SimpleNamespace(**facts)


def test_a_proxy_that_closes_without_an_answer_is_at_fault() -> None:
    """One that is in order answers 502."""
    error = TruncatedResponse("closed", received=False)
    fault = as_proxys_fault(error, exchange())
    unsent = as_proxys_fault(error, exchange(send_at=0.0))

    assert isinstance(fault, ProxyFailed)
    assert isinstance(unsent, ProxyFailed)
    assert (fault.proxy, fault.is_unsent, unsent.is_unsent) == (PROXY.label, False, True)
    assert fault.__cause__ is error
    assert "u:p" not in str(fault)


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (TruncatedResponse("x", received=True), {}),
        (TruncatedResponse("x", received=False), {"first_byte_at": 6.0}),
        (TruncatedResponse("x", received=False), {"route": None}),
        (ProtocolError("x"), {}),
    ],
    ids=["received", "first byte", "no proxy", "another error"],
)
def test_other_errors_are_the_origins(error: Exception, facts: dict[str, Any]) -> None:
    """As without a proxy."""
    assert as_proxys_fault(error, exchange(**facts)) is error
