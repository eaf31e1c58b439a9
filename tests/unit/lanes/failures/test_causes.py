"""What h11 and h2 say of a connection, told from what they say of a request."""

from __future__ import annotations

import importlib
from typing import Any

import h11
import httpx
import pytest

from asyncbatch._lanes.failures._causes import is_of_connection

pytest.importorskip("h2")


def h2_errors() -> list[tuple[Any, bool, bool]]:
    """Return errors of h2, whether the head was being sent, and whether the connection is lost."""
    names: Any = importlib.import_module("h2.exceptions")
    stateful = "Invalid input ConnectionInputs.SEND_HEADERS in state ConnectionState.CLOSED"
    return [
        (names.ProtocolError(stateful), True, True),
        (names.ProtocolError(stateful), False, True),
        (names.TooManyStreamsError("Max outbound streams is 5, 5 open"), True, True),
        (names.StreamClosedError(7), True, True),
        (names.NoSuchStreamError(7), False, True),
        (names.StreamIDTooLowError(3, 5), True, True),
        (names.FlowControlError("window"), False, True),
        (names.InvalidBodyLengthError(5, 7), False, True),
        (names.ProtocolError("Received data on a closed stream"), False, True),
        (names.ProtocolError("Connection-specific header field present: b'upgrade'."), True, False),
        (names.ProtocolError("Invalid value for TE header: b'gzip'"), True, False),
        (h11.LocalProtocolError("can't handle event type Request when role=CLIENT"), True, True),
        (h11.LocalProtocolError("Can't send data when our state is ERROR"), True, True),
        (h11.LocalProtocolError("Illegal header name b'a b'"), True, False),
        (h11.LocalProtocolError("Too much data for declared Content-Length"), True, False),
    ]


@pytest.mark.parametrize(("error", "sending", "is_lost"), h2_errors())
def test_what_is_the_connections_is_told_from_what_is_the_requests(
    error: Exception, sending: bool, is_lost: bool
) -> None:
    """By what h11 and h2 say, under whatever httpcore and httpx make of it."""
    core: Any = importlib.import_module("httpcore")
    core_error = core.LocalProtocolError(error)
    core_error.__context__ = error
    told = httpx.LocalProtocolError(str(error))
    told.__cause__ = core_error

    assert is_of_connection(told, sending=sending) is is_lost
