"""Groups of failures: which belong together, and what is told of them."""

from __future__ import annotations

import httpx

from asyncbatch._results.report._failure_groups import GROUPS, GROUPS_IN_STATE, FailureGroups
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._result import Failure
from tests.samples import failure


def groups_of(*failures: Failure) -> FailureGroups:
    """Return the groups of some failures."""
    groups = FailureGroups()
    for each in failures:
        groups.add(each)
    return groups


def test_failures_of_one_message_are_one_group() -> None:
    """But for the numbers and the URLs in it."""
    messages = [f"cannot connect to 10.0.0.{n} port {n}: refused" for n in range(5)]
    refused = [failure(n, error=httpx.ConnectError(text)) for n, text in enumerate(messages)]

    first, second, third = groups_of(
        *refused,
        failure(7, status=404),
        failure(8, status=404),
        failure(9, kind=FailureKind.tls, error=httpx.ConnectError("")),
    ).shown()

    assert (first.kind, first.count) == ("connect", 5)
    assert first.message == f"ConnectError: {messages[0]}"
    assert first.url == "http://host.test/0"
    assert (second.kind, second.count, second.message) == ("status", 2, "404 Not Found")
    assert (third.kind, third.message) == ("tls", "ConnectError")


def test_groups_are_bounded() -> None:
    """What is in none of them is counted."""
    texts = [f"{'x' * (n % 40)}{'y' * (n // 40)}" for n in range(GROUPS + 20)]
    results = [failure(n, error=httpx.ConnectError(text)) for n, text in enumerate(texts)]

    groups = groups_of(*results)

    assert len(groups.shown()) == GROUPS
    assert groups.ungrouped == 20


def test_groups_that_are_handed_over_are_the_largest() -> None:
    """The failures of the others are counted."""
    texts = [chr(ord("a") + n % 26) * (1 + n // 26) for n in range(GROUPS_IN_STATE + 10)]
    failures = [failure(error=httpx.ConnectError(text)) for text in [*texts, texts[-1]]]
    other = FailureGroups()

    other.merge(*groups_of(*failures).state())

    assert len(other.shown()) == GROUPS_IN_STATE
    assert other.shown()[0].message == f"ConnectError: {texts[-1]}"
    assert other.ungrouped == 10


def test_merged_groups_are_bounded() -> None:
    """What is in none of them is counted."""
    groups, count = FailureGroups(), 0
    for number in range(GROUPS // GROUPS_IN_STATE + 2):
        texts = [f"{'x' * number}{'y' * n}" for n in range(GROUPS_IN_STATE)]
        other = groups_of(
            *[
                failure(n, kind=FailureKind(kind), error=httpx.ConnectError(f"-{text}"))
                for n, text in enumerate(texts)
                for kind in ("connect", "tls", "dns")
            ]
        )
        groups.merge(*other.state())
        count += 3 * len(texts)

    shown = groups.shown()

    assert len(shown) == GROUPS
    assert sum(group.count for group in shown) + groups.ungrouped == count
