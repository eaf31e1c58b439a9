"""Type-checked only: how a `Result` narrows. mypy and pyright must both agree with every line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, assert_never, assert_type

import httpx

from asyncbatch import Attempt, Failure, FailureKind, Request, Result, Results, Success, Timing


def narrow_on_ok(result: Result) -> None:
    # mypy narrows on plain `if result.ok:` as well, pyright only where the attribute is compared.
    if result.ok is True:
        assert_type(result, Success)
        assert_type(result.ok, Literal[True])
        assert_type(result.response, httpx.Response)
        assert_type(result.status_code, int)
        assert_type(result.url, httpx.URL)
        assert_type(result.kind, None)
        assert_type(result.error, None)
    else:
        assert_type(result, Failure)
        assert_type(result.ok, Literal[False])
        assert_type(result.response, httpx.Response | None)
        assert_type(result.error, Exception)
        assert_type(result.kind, FailureKind)


def narrow_on_failure(result: Result) -> Exception | None:
    if result.ok is False:
        return assert_type(result, Failure).error
    assert_type(result, Success)
    return None


def narrow_by_class(result: Result) -> None:
    if isinstance(result, Failure):
        assert_type(result, Failure)
    else:
        assert_type(result, Success)


def match_by_class(result: Result) -> int:
    match result:
        case Success(response=response):
            assert_type(response, httpx.Response)
            return response.status_code
        case Failure(kind=FailureKind.timeout):
            assert_type(result, Failure)
            return 0
        case Failure(kind=kind, error=error):
            assert_type(kind, FailureKind)
            assert_type(error, Exception)
            return 1
        case _:
            assert_never(result)


def narrow_on_error(result: Result) -> None:
    # pyright narrows here, and mypy does not.
    if result.error is None:
        assert_type(result.error, None)
    else:
        assert_type(result.error, Exception)


def narrow_on_kind(result: Result) -> str:
    return "good" if result.kind is None else result.kind.upper()


def use_what_both_have(result: Result) -> None:
    assert_type(result.kind, FailureKind | None)
    assert_type(result.error, Exception | None)
    assert_type(result.response, httpx.Response | None)
    assert_type(result.reason_phrase, str)
    assert_type(result.cookies, httpx.Cookies)
    assert_type(result.links, dict[str | None, dict[str, str]])
    assert_type(result.encoding, str | None)
    assert_type(result.ok, bool)
    assert_type(result.index, int)
    assert_type(result.request, Request)
    assert_type(result.url, httpx.URL | None)
    assert_type(result.status_code, int | None)
    assert_type(result.headers, httpx.Headers)
    assert_type(result.content, bytes)
    assert_type(result.text, str)
    assert_type(result.elapsed, float)
    assert_type(result.timing, Timing)
    assert_type(result.attempts, int)
    assert_type(result.history, tuple[Attempt, ...])
    assert_type(result.unwrap(), httpx.Response)


def unwrapping_a_failure_never_returns(failure: Failure) -> int:
    failure.unwrap()


def use_results(results: Results) -> None:
    sequence: Sequence[Result] = results
    assert_type(results.by_host(), dict[str, Results])
    assert_type(results[0], Result)
    assert_type([result.index for result in sequence], list[int])
    for success in results.successes:
        assert_type(success, Success)
    for failure in results.failures:
        assert_type(failure, Failure)


def results_cannot_be_changed(result: Result) -> None:
    result.index = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
