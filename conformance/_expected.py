"""
What a case expects of a client.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen
class Answer:
    """A complete response, as its receiver sees it."""

    body: bytes | None
    """None where the body may be any."""
    status: int
    headers: Mapping[str, str | None]
    """Names in small letters, with the value expected, or None where the field must be absent."""


@attrs.frozen
class Expected:
    """The outcomes that are right."""

    answers: tuple[Answer, ...]
    """Responses that are right, none where only a failure is."""
    kinds: frozenset[str]
    """Kinds of failure that are right, none where only a response is."""
    reason: str = ""
    """Why both are right, where they are."""

    def __attrs_post_init__(self) -> None:
        if self.answers and self.kinds and not self.reason:
            raise ValueError("say why both a response and a failure are right")
        if not self.answers and not self.kinds:
            raise ValueError("something must be right")


def ok(
    body: bytes | None = b"", status: int = 200, headers: Mapping[str, str | None] | None = None
) -> Expected:
    """Expect a response."""
    return Expected((Answer(body, status, headers or {}),), frozenset())


def fails(*kinds: str) -> Expected:
    """Expect a failure of one of these kinds."""
    return Expected((), frozenset(kinds))


def either(answer: Expected, *kinds: str, reason: str, or_else: Expected | None = None) -> Expected:
    """Allow a response, perhaps a second one, and a failure, for a stated reason."""
    others = () if or_else is None else or_else.answers
    return Expected((*answer.answers, *others), frozenset(kinds), reason)
