"""What a worker tells the listener of its batch of each request."""

from __future__ import annotations

from typing import Any

import pytest

from asyncbatch import FailureKind
from asyncbatch._batch._worker_watch import WorkerWatch
from asyncbatch._values._outcome import Outcome


class Telling:
    """A listener and its only watch, which note what they are told."""

    def __init__(self, *, is_open: bool = False, is_idle: bool = False) -> None:
        self.is_open, self.is_idle, self.carries, self.resent = is_open, is_idle, False, 0
        self.told: list[tuple[Any, ...]] = []

    def watch(self) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        return lambda *args: self.told.append((name, *args))

    def sent(self, *args: Any) -> None:
        self.is_open = True
        self.told.append(("sent", *args))

    def attempt_ended(self, *args: Any) -> int:
        self.told.append(("attempt_ended", *args))
        return 2


class Attempted:
    """An attempt of a request, as far as a watch is told of it."""

    attempts, resent, method, request = 2, 3, "GET", "http://a.test/x"

    class host:  # noqa: N801
        key = "origin"


class Lane:
    """A lane that encodes each request as itself."""

    def encode(self, item: Any, _: Any) -> Any:
        return item


class Received:
    """The builder of a response."""

    class head:  # noqa: N801
        status, version = 200, b"1.1"

    connection = None


COURSE = (1.0, 2.0, 3.0, 4.0, 5.0, None, None, None, 0)


def watch_on(listener: Any) -> tuple[WorkerWatch, Any]:
    """Return the watch of a worker, and a request in its second attempt."""
    lane: Any = Lane()
    return WorkerWatch(listener, lane, lambda: 9.0), Attempted()


def test_a_listener_that_adds_no_fields_changes_no_request() -> None:
    """It stays as the lane has encoded it; one that the lane does not encode stays so, too."""
    watch, _ = watch_on(Telling())
    limits: Any = None
    encoded: Any = ("item", "url", "head", b"")

    assert watch.encode(encoded, limits) is encoded
    assert watch.encode(None, limits) is None


def test_a_response_of_a_request_that_was_not_told_before_is_told_at_once() -> None:
    """With the number of times that it has been sent before."""
    listener = Telling()
    watch, job = watch_on(listener)
    watch.tell_of_response(job, Received(), COURSE)  # type: ignore[arg-type]

    head = 200, b"1.1", None
    assert listener.told == [("answered", "GET", "origin", "http://a.test/x", head, (1.0, 5.0))]
    assert (listener.resent, job.resent) == (4, 0)


@pytest.mark.parametrize(
    ("is_open", "told"), [(True, ["head_received", "attempt_ended"]), (False, [])]
)
def test_a_response_is_told_to_a_listener_only_if_it_listens(
    is_open: bool, told: list[str]
) -> None:
    """An idle one has not heard of the request, unless it was begun before."""
    listener = Telling(is_open=is_open, is_idle=True)
    watch, job = watch_on(listener)
    watch.tell_of_response(job, Received(), COURSE)  # type: ignore[arg-type]

    assert [name for name, *_ in listener.told] == told


def test_an_attempt_that_has_failed_counts_what_it_has_sent() -> None:
    """The next attempt begins its count there; a success ends it."""
    listener = Telling(is_open=True)
    watch, job = watch_on(listener)
    watch.tell_of_outcome(job, Outcome(kind=FailureKind.timeout))
    assert listener.told == [("attempt_ended", 9.0, FailureKind.timeout, None)]
    assert job.resent == 5

    watch.tell_of_outcome(job, Outcome())
    assert job.resent == 0


@pytest.mark.parametrize(("is_late", "kind"), [(True, FailureKind.timeout), (False, None)])
def test_an_attempt_that_was_cut_off_is_told_with_the_reason(is_late: bool, kind: Any) -> None:
    """One that a relay has given up is told from its beginning."""
    listener = Telling()
    watch, job = watch_on(listener)
    abandoned: Any = ("item", "http://a.test/x", "head", b""), 7.0
    watch.tell_of_cut(job, abandoned, is_late=is_late)

    assert listener.told == [("sent", "GET", "http://a.test/x", 7.0), ("cancelled", 9.0, kind)]


def test_a_cut_between_two_requests_is_not_told() -> None:
    """No attempt was under way."""
    listener = Telling()
    watch, job = watch_on(listener)
    watch.tell_of_cut(job, None, is_late=False)

    assert listener.told == []


class Connected(Received):
    """The builder of a response that came over a connection, which counts who asks for its peer."""

    def __init__(self, peer: object) -> None:
        self.connection: Any = self
        self.peer = peer
        self.asked = 0

    def get_extra_info(self, _: str) -> object:
        self.asked += 1
        return self.peer


def test_the_peer_of_a_connection_is_asked_for_once() -> None:
    """It is a call of the kernel; another connection has another peer."""
    one, other = Connected("one"), Connected("other")
    listener = Telling()
    watch, job = watch_on(listener)
    for builder in (one, one, other):
        watch.tell_of_response(job, builder, COURSE)  # type: ignore[arg-type]

    assert [head[2] for _, _, _, _, head, _ in listener.told] == ["one", "one", "other"]
    assert (one.asked, other.asked) == (1, 1)


def test_the_peer_is_not_asked_for_an_idle_listener() -> None:
    """Where no provider is set, a request costs next to nothing."""
    builder = Connected("peer")
    watch, job = watch_on(Telling(is_idle=True))
    watch.tell_of_response(job, builder, COURSE)  # type: ignore[arg-type]

    assert builder.asked == 0
