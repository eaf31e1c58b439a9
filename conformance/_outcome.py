"""
What came of a request, in words that every client can use.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

HUNG = "hung"
"""The kind of failure of a client that did not end within the hard limit."""


@attrs.frozen
class Outcome:
    """A response, or a failure."""

    status: int | None = None
    """None for a failure."""
    body: bytes = b""
    """After undoing content codings."""
    headers: tuple[tuple[str, str], ...] = ()
    """Names in small letters."""
    kind: str | None = None
    """The kind of failure; None for a response, or where the client does not tell."""
    detail: str = ""
    """The error in the client's own words."""

    @classmethod
    def answered(
        cls, status: int, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()
    ) -> Outcome:
        """Return the outcome of a request that was answered, whatever the status."""
        lowered = tuple((name.lower(), value) for name, value in headers)
        return cls(status=status, body=body, headers=lowered)

    @classmethod
    def failed(cls, kind: str | None, detail: str) -> Outcome:
        """Return the outcome of a request that was not answered."""
        return cls(kind=kind, detail=detail)

    @property
    def is_answer(self) -> bool:
        """Whether a response came."""
        return self.status is not None

    def __str__(self) -> str:
        if self.is_answer:
            return f"{self.status} with {_short(self.body)}"
        return f"{self.kind or 'failure'}: {self.detail}"


def _short(body: bytes) -> str:
    return repr(body) if len(body) <= 60 else f"{body[:40]!r}… ({len(body)} bytes)"
