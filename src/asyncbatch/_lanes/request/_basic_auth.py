"""
Basic authentication, which is a header field and nothing more (RFC 7617).

Any other may want to see the response, or the body, and is the client's to carry out.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx


def is_basic(auth: object) -> bool:
    """Whether `auth` is httpx's own basic authentication, or none."""
    # What has an attribute more may have a method of its own.
    return auth is None or (type(auth) is httpx.BasicAuth and len(auth.__dict__) == 1)


def authorization_of(auth: Any) -> str | None:
    """Return what basic authentication sets `Authorization` to; `None` for none, or any other."""
    if auth is None or not is_basic(auth):
        return None
    request = SimpleNamespace(headers={})
    next(auth.auth_flow(request))
    value: str = request.headers["Authorization"]
    return value
