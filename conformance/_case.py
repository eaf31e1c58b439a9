"""
One row of the table.
"""

from __future__ import annotations

import enum

import attrs

from ._expected import Expected
from ._steps import Script


class Reuse(enum.Enum):
    """Whether the next request may, must or must not go over the connection of the case."""

    ANY = "any"
    MUST = "must"
    """A client that keeps connections at all keeps this one."""
    MUST_NOT = "must not"


@attrs.frozen
class Request:
    """What is asked."""

    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    streamed: bool = False
    """Whether the body goes out piece by piece, without a length."""
    timeout: float = 5.0
    """For the whole request. What must fail at once must not need it."""
    max_body: int | None = None
    """None: the client's default."""
    follow_redirects: bool = True
    max_redirects: int | None = None


@attrs.frozen(kw_only=True)
class Case:
    """What a server does, and what is to come of it."""

    name: str
    source: str
    """A section of an RFC, an advisory, or another client's test that covers the same ground."""
    expected: Expected
    script: Script | tuple[Script, ...] = ()
    """For the first connection, or for each in turn; the last one serves those behind it."""
    other: Script = ()
    """For connections to the second origin."""
    request: Request = Request()
    reuse: Reuse = Reuse.ANY
    warm: int = 0
    """Canaries that go first, so that the case finds a kept connection."""
    tls: str | None = None
    """The certificate with which the server speaks TLS: see `Trust`; None for plain text."""
    max_requests: int | None = None
    """How often the request may reach the server."""
    never_sent: tuple[bytes, ...] = ()
    """What no request to the second origin may hold, in small letters."""
    decided_by: str = "transport"
    """The part of a client that decides: `transport`, `decoding`, `redirect` or `limit`."""
    exact: bool = False
    """Whether the script sends as it is written, in every delivery."""

    @property
    def scripts(self) -> tuple[Script, ...]:
        """A script for each connection in turn."""
        script = self.script
        if script and isinstance(script[0], tuple):
            return script  # type: ignore[return-value]  # as the type of its first member says
        return (script,)  # type: ignore[return-value]
