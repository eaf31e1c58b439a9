"""
Groups of failures with the same kind and message: a count and one example of each.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable
from typing import Any

import attrs

from asyncbatch._results.report._figures import TEXT, FailureGroup, clean
from asyncbatch._values._errors import message_of
from asyncbatch._values._masking import masked_text, masked_url
from asyncbatch._values._result import Failure, asked_url_of

GROUPS = 500
"""Most groups of failures; failures of more different kinds are counted together."""
GROUPS_IN_STATE = 50
"""How many are handed to another builder."""

# What differs between two messages about the same failure: URLs, addresses and numbers.
_VARYING = re.compile(r"https?://\S+|'[^']*'|[0-9a-f]*[0-9][0-9a-f]*", re.IGNORECASE)


class FailureGroups:
    """The groups of the failures that were added."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], _Group] = {}
        self.ungrouped = 0
        """Number of failures that are in no group."""

    def add(self, failure: Failure) -> None:
        """Count a failure."""
        kind = str(failure.kind)
        # The error of a failed status is made when it is asked for.
        message = "" if kind == "status" else message_of(failure.error)[:TEXT]
        key = (kind, _VARYING.sub("#", message) or str(failure.status_code))
        group = self._groups.get(key)
        if group is not None:
            group.count += 1
            return
        if len(self._groups) >= GROUPS:
            self.ungrouped += 1
            return
        url = failure.url or asked_url_of(failure)
        if kind == "status":
            message = f"{failure.status_code} {failure.reason_phrase}"
        else:
            name = type(failure.error).__name__
            message = f"{name}: {masked_text(message, asked_url_of(failure))}" if message else name
        self._groups[key] = _Group(
            message=clean(message), url=clean(masked_url(url, most=TEXT + 1))
        )

    def state(self) -> tuple[list[tuple[str, str, Any]], int]:
        """Return what `merge` takes: the largest groups, and the number of other failures."""
        most = heapq.nlargest(GROUPS_IN_STATE, self._groups.items(), key=lambda each: each[1].count)
        grouped = sum(group.count for group in self._groups.values())
        left_out = grouped - sum(group.count for _, group in most)
        groups = [(kind, key, attrs.astuple(group)) for (kind, key), group in most]
        return groups, self.ungrouped + left_out

    def merge(self, groups: Iterable[tuple[str, str, Any]], ungrouped: int) -> None:
        """Add those of another collection, given by its `state`."""
        for kind, key, (message, url, count) in groups:
            self._merge((kind, key), _Group(message, url, count))
        self.ungrouped += ungrouped

    def shown(self) -> tuple[FailureGroup, ...]:
        """Return the groups, the largest first."""
        ordered = sorted(self._groups.items(), key=lambda each: -each[1].count)
        return tuple(group.shown(kind) for (kind, _), group in ordered)

    def _merge(self, key: tuple[str, str], group: _Group) -> None:
        mine = self._groups.get(key)
        if mine is not None:
            mine.count += group.count
        elif len(self._groups) < GROUPS:
            self._groups[key] = group
        else:
            self.ungrouped += group.count


@attrs.define
class _Group:
    message: str
    url: str
    count: int = 1

    def shown(self, kind: str) -> FailureGroup:
        return FailureGroup(kind=kind, count=self.count, message=self.message, url=self.url)
