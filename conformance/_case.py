"""
One row of the table.
"""

from __future__ import annotations

import enum
import re

import attrs

from ._delivery import Delivery
from ._expected import Expected
from ._steps import Script, Send

_CODING = re.compile(rb"\ncontent-encoding:([^\r\n]*)", re.IGNORECASE)


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
    timeout: float = 10.0
    """For the whole request. What must fail at once must not need it."""
    max_body: int | None = None
    """None: the client's default."""
    follow_redirects: bool = True
    max_redirects: int | None = None


@attrs.frozen
class Hop:
    """One request as it must reach a server; all texts in small letters."""

    start: bytes
    """What it begins with."""
    has: tuple[bytes, ...] = ()
    lacks: tuple[bytes, ...] = ()
    is_other: bool = False
    """Whether it goes to the second origin."""


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
    other_tls: str | None = None
    """The same for the second origin."""
    scheme: str | None = None
    """What the client is told to speak, where that is not what the server does."""
    host: str = "127.0.0.1"
    """The name by which the client knows the server: one of 127.0.0.1, or an address of 127/8."""
    max_requests: int | None = None
    """How often the request may reach the server."""
    never_sent: tuple[bytes, ...] = ()
    """What no request to the second origin may hold, in small letters."""
    hops: tuple[Hop, ...] = ()
    """The requests that arrive, in their order at each origin, if the outcome is a response."""
    needs: frozenset[str] = frozenset()
    """What a client must be able to do for the case to make sense, beyond what `request` says."""
    decided_by: str = "transport"
    """The part of a client that decides: transport, decoding, redirect, cookie or limit."""
    by_request: bool = False
    """Whether the script goes on from request to request, on whatever connections they come."""
    exact: bool = False
    """Whether the script sends as it is written, in every delivery."""

    @property
    def scripts(self) -> tuple[Script, ...]:
        """A script for each connection in turn."""
        script = self.script
        if script and isinstance(script[0], tuple):
            return script  # type: ignore[return-value]  # as the type of its first member says
        return (script,)  # type: ignore[return-value]

    @property
    def features(self) -> frozenset[str]:
        """All that a client must be able to do: see `Client.lacks`."""
        request = self.request
        asked = {
            "max_body": request.max_body is not None,
            "max_redirects": request.max_redirects is not None,
            "streamed": request.streamed,
        }
        named = {name for name, is_asked in asked.items() if is_asked}
        return self.needs | named | self._codings

    @property
    def _codings(self) -> frozenset[str]:
        """The content codings in what is sent that not every client has."""
        scripts = (*self.scripts, self.other)
        sent = b"".join(s.content for script in scripts for s in script if isinstance(s, Send))
        values = b",".join(_CODING.findall(sent.lower()))
        codings = {"stacked codings"} if any(b"," in v for v in _CODING.findall(sent)) else set()
        return frozenset(codings | {name for name in ("br", "zstd") if name.encode() in values})

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """The deliveries that differ for this case."""
        return (Delivery.WHOLE,) if self.exact else tuple(Delivery)
