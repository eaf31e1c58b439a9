"""The exceptions of our own, and their variants for httpx2."""

from __future__ import annotations

import pickle
from typing import Any

import httpx
import pytest

import asyncbatch
from asyncbatch._lanes.client._binding import Binding
from asyncbatch._values import _errors

REQUEST = httpx.Request("GET", "http://host.test/")


def make(library: Any) -> list[Exception]:
    """Return one error of each class, in the terms of `library`."""
    error = Binding(library).error
    request = library.Request("GET", "http://host.test/")
    response = library.Response(503, request=request)
    return [
        error(_errors.BodyConsumed)("it is a pipe", request=request),
        error(_errors.BodyTooLarge)(10, request=request),
        error(_errors.ChecksumMismatch)("md5:1", "md5:2", request=request),
        error(_errors.NotStarted)(1.5, request=request),
        error(_errors.DNSError)("x", request=request),
        error(_errors.TLSError)("x", request=request),
        error(_errors.HostDown)("http://host.test:80", request=request),
        error(_errors.HostPaused)("http://host.test:80", seconds=9.0, limit=2.0, request=request),
        error(_errors.TruncatedBody)("x", request=request),
        error(_errors.AttemptTimeout)(2.0, request=request),
        error(_errors.TooSlow)(100, request=request),
        error(_errors.DeadlineExceeded)("deadline", 3.0, request=request),
        error(_errors.RetryAfterTooLong)(90, limit=60, request=request, response=response),
    ]


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_each_error_is_one_of_the_library_and_one_of_ours(name: str) -> None:
    """So that `except httpx.HTTPError` and `except asyncbatch.DNSError` both work."""
    library: Any = pytest.importorskip(name)

    errors: list[Any] = make(library)

    assert all(isinstance(error, library.HTTPError) for error in errors)
    assert all(str(error) for error in errors)
    assert {str(error.request.url) for error in errors} == {"http://host.test/"}
    assert [type(error).__name__ for error in errors] == [type(e).__name__ for e in make(httpx)]
    assert all(isinstance(error, getattr(_errors, type(error).__name__)) for error in errors)


def test_a_variant_is_made_once() -> None:
    """Two errors of one condition are of one type."""
    library = pytest.importorskip("httpx2")
    binding = Binding(library)

    assert binding.error(asyncbatch.DNSError) is binding.error(asyncbatch.DNSError)
    assert Binding(httpx).error(asyncbatch.DNSError) is asyncbatch.DNSError


def test_details_are_attributes() -> None:
    """And the message is made from them."""
    error = asyncbatch.AttemptTimeout(1.5, request=REQUEST)

    assert error.timeout == 1.5
    assert "timeout=1.5" in str(error)


def test_kinds_are_words() -> None:
    """They compare with plain text and can be stored as such."""
    kind = asyncbatch.FailureKind.too_large

    assert kind == "too_large"
    assert f"{kind}" == "too_large"
    assert pickle.loads(pickle.dumps(kind)) is kind
