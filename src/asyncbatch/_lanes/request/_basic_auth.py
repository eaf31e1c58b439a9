"""
Basic authentication, which only sets a header field (RFC 7617).

The client carries out all others, which may have to see the response or the body.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx


def is_basic(auth: object) -> bool:
    """Whether `auth` is httpx's own basic authentication, or none."""
    # An object with another attribute may have a method replaced.
    return auth is None or (type(auth) is httpx.BasicAuth and len(auth.__dict__) == 1)


def authorization_of(auth: Any) -> str | None:
    """Return the `Authorization` field of basic authentication; `None` for none or any other."""
    if auth is None or not is_basic(auth):
        return None
    request = SimpleNamespace(headers={})
    next(auth.auth_flow(request))
    value: str = request.headers["Authorization"]
    return value
