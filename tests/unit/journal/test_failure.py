"""The failure of a record: its flags and its error, and how they are made again."""

from __future__ import annotations

import ssl
from typing import Any

import httpx
import pytest

import asyncbatch
from asyncbatch import Attempt, FailureKind, Timing
from asyncbatch._journal._failure import add_error, flags_of, restored_error
from asyncbatch._journal._schema import PERMANENT, UNDONE
from tests.samples import failure

URL = "http://host.test/0"


def there_and_back(error: Exception, kind: str) -> Exception:
    """Return an error after it was kept."""
    facts: dict[str, Any] = {}
    add_error(facts, failure(kind=FailureKind(kind), error=error))
    return restored_error(facts["error"], httpx, has_response=True)


ERRORS: list[tuple[str, Exception]] = [
    ("connect", httpx.ConnectError("refused")),
    ("dns", asyncbatch.DNSError("no name")),
    ("timeout", asyncbatch.AttemptTimeout(3.0)),
    ("timeout", asyncbatch.DeadlineExceeded("deadline", 2.0)),
    ("too_large", asyncbatch.BodyTooLarge(10)),
    ("not_started", asyncbatch.NotStarted(1.5)),
    ("host_down", asyncbatch.HostDown("http://host.test:80")),
    ("proxy", asyncbatch.ProxyError("refused", proxy="http://p", status_code=407)),
    ("invalid_request", httpx.InvalidURL("no URL")),
]


@pytest.mark.parametrize(("kind", "error"), ERRORS)
def test_the_error_of_a_failure_comes_back(kind: str, error: Exception) -> None:
    """Its class, its text and its attributes."""
    found = there_and_back(error, kind)

    assert type(found) is type(error)
    assert str(found) == str(error)
    state = {name: value for name, value in vars(error).items() if name[0] != "_"}
    assert {name: vars(found)[name] for name in state} == state


def test_an_error_of_the_callers_own_comes_back_as_text() -> None:
    """Its class may not exist any more; nothing of it is imported or run."""

    class Own(Exception):
        pass

    found = there_and_back(Own("why"), "callback")

    assert type(found) is RuntimeError
    assert "Own: why" in str(found)


RESPONSE = httpx.Response(429, request=httpx.Request("POST", URL))
BUSY = httpx.Response(503, request=httpx.Request("POST", URL), headers={"retry-after": "1"})
FAILED = httpx.Response(503, request=httpx.Request("POST", URL))


def moved(status: int) -> httpx.Response:
    """Return a refusal that a redirect led to."""
    request = httpx.Request("GET", "http://host.test/other")
    earlier = httpx.Response(status, request=httpx.Request("POST", URL))
    return httpx.Response(429, request=request, history=[earlier])


def tried(response: httpx.Response) -> Attempt:
    """Return an earlier try with a response."""
    error = httpx.HTTPStatusError("failed", request=response.request, response=response)
    return Attempt(response.status_code, error, Timing(), 0.0)


@pytest.mark.parametrize(
    ("kind", "fields", "is_undone"),
    [
        ("connect", {}, True),
        ("dns", {"error": asyncbatch.DNSError("")}, True),
        ("tls", {"error": asyncbatch.TLSError("")}, True),
        ("host_down", {"attempts": 0}, True),
        ("not_started", {"attempts": 0}, True),
        ("timeout", {"error": httpx.ConnectTimeout("")}, True),
        ("timeout", {"error": httpx.PoolTimeout("")}, True),
        ("timeout", {"error": httpx.ReadTimeout("")}, False),
        ("timeout", {"error": asyncbatch.AttemptTimeout(1.0)}, False),
        ("protocol", {"error": httpx.RemoteProtocolError("")}, False),
        ("truncated", {"error": asyncbatch.TruncatedBody("")}, False),
        ("proxy", {"error": asyncbatch.ProxyError("", proxy="p", status_code=403)}, True),
        ("proxy", {"error": asyncbatch.ProxyError("", proxy="p")}, False),
        ("status", {"response": RESPONSE}, True),
        ("status", {"response": BUSY}, True),
        ("status", {"response": FAILED}, False),
        ("retry_after", {"response": BUSY}, True),
        ("status", {"response": moved(307)}, True),
        ("status", {"response": moved(303)}, False),
        ("connect", {"url": httpx.URL("http://host.test/other")}, False),
        ("connect", {"url": None}, True),
        ("connect", {"item": "/0"}, True),
        ("connect", {"item": "http://host.test:port/"}, False),
        ("connect", {"history": (tried(RESPONSE), tried(BUSY))}, True),
        ("connect", {"history": (tried(RESPONSE), tried(FAILED))}, False),
        (
            "connect",
            {"history": (Attempt(None, httpx.ReadTimeout(""), Timing(), 0.0),)},
            False,
        ),
        (
            "connect",
            {"history": (Attempt(None, httpx.ConnectError(""), Timing(), 0.0),)},
            True,
        ),
    ],
)
def test_a_record_says_whether_nothing_can_have_been_done(
    kind: str, fields: dict[str, Any], is_undone: bool
) -> None:
    """By all tries, and by where the last one ended."""
    found = flags_of(failure(kind=FailureKind(kind), **fields))

    assert bool(found & UNDONE) is is_undone


def caused_by(cause: Exception) -> Exception:
    error = asyncbatch.TLSError("no")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("kind", "error", "is_permanent"),
    [
        ("tls", caused_by(ssl.SSLCertVerificationError("no")), True),
        ("tls", caused_by(ssl.SSLError("no")), False),
        ("proxy", asyncbatch.ProxyError("no", proxy="http://p", status_code=407), True),
        ("proxy", asyncbatch.ProxyError("no", proxy="http://p", status_code=403), False),
    ],
)
def test_a_record_says_whether_another_try_would_end_the_same(
    kind: str, error: Exception, is_permanent: bool
) -> None:
    """By the causes of its error, or because the proxy refuses the credentials."""
    found = flags_of(failure(kind=FailureKind(kind), error=error))

    assert bool(found & PERMANENT) is is_permanent
