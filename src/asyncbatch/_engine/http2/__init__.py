"""
A sans-IO HTTP/2 client core: bytes and requests in, bytes and events out.

`_session` is the only module that knows `ngh2`, which is an extra. It is imported when the first
connection speaks HTTP/2, so this package can be imported without the extra.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from ._fields import RequestTranslator, unchunked
from ._limits import LONG_WINDOW, STREAM_WINDOW, ErrorCode, code_name
from ._owner import SessionOwner

if TYPE_CHECKING:
    from ._session import ClientSession

__all__ = [
    "LONG_WINDOW",
    "STREAM_WINDOW",
    "ErrorCode",
    "RequestTranslator",
    "check_installed",
    "code_name",
    "new_session",
    "unchunked",
]


def check_installed() -> None:
    """
    Check that HTTP/2 can be spoken.

    Raises:
        ImportError: The extra is missing; the message names it.
    """
    if importlib.util.find_spec("ngh2") is None:
        raise ImportError(
            "http2=True needs the package 'ngh2': install the extra, as in "
            "pip install 'asyncbatch[http2]'"
        )


def new_session(owner: SessionOwner) -> ClientSession:
    """Return the protocol state of a new connection."""
    from ._session import ClientSession

    return ClientSession(owner)
