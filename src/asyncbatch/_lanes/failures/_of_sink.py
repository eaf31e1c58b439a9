"""
Turn the failures of a sink into outcomes.
"""

from __future__ import annotations

from typing import Any

from asyncbatch._lanes.client._binding import Binding
from asyncbatch._values._errors import BodyTooLarge, ChecksumMismatch, FailureKind, TruncatedBody
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._sink import Mismatch, SinkFailure, TooLarge

_PASSING = (FailureKind.protocol, FailureKind.truncated)


def sink_outcome(failure: SinkFailure, request: Any, binding: Binding) -> Outcome:
    """
    Return the outcome of an attempt whose body cannot be written, or is not the right one.

    Args:
        failure: The failure.
        request: The native request; `None` if nothing was sent.
        binding: The library whose exceptions are wanted.
    """
    outcome = Outcome(kind=failure.kind, error=_error_of(failure, request, binding))
    outcome.again = failure.again
    outcome.permanent = failure.kind not in _PASSING
    outcome.heard = None if request is None else True
    return outcome


def _error_of(failure: SinkFailure, request: Any, binding: Binding) -> Exception:
    if isinstance(failure, Mismatch):
        return binding.error(ChecksumMismatch)(failure.expected, failure.found, request=request)
    if isinstance(failure, TooLarge):
        return binding.error(BodyTooLarge)(failure.limit, request=request)
    if failure.error is not None:
        return failure.error
    if failure.kind is FailureKind.truncated:
        return binding.error(TruncatedBody)(str(failure), request=request)
    error: Exception = binding.library.RemoteProtocolError(str(failure), request=request)
    return error
