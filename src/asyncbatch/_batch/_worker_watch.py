"""
Reports the requests of one worker to the listener of its batch. Only a listener makes it exist.
"""

from __future__ import annotations

from typing import Any, cast

from asyncbatch._lanes import Encoded, Lane, key_of, peer_of, watched
from asyncbatch._runtime._event_loop import Clock
from asyncbatch._schedule import Job
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._host_key import HostKey
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._telemetry import BatchListener
from asyncbatch._values._timeouts import TimeLimits
from asyncbatch._values._timing import Course


class WorkerWatch:
    """
    Tells the watch of one worker of each request that the worker sends.

    Args:
        listener: The listener of the batch.
        lane: Encodes the requests.
        clock: The clock of the batch.

    Attributes:
        watch: Is told by the lane, too.
    """

    __slots__ = ("_clock", "_connection", "_encode", "_listener", "_peer", "watch")

    def __init__(self, listener: BatchListener, lane: Lane, clock: Clock) -> None:
        self._listener = listener
        self._encode = lane.encode
        self._clock = clock
        self.watch = listener.watch()
        # The connection of the last response, and its peer: asking the kernel takes 1.5 µs.
        self._connection: object = None
        self._peer: object = None

    def count_sent(self, job: Job) -> None:
        """Note how often a request that is sent next has been sent before."""
        self.watch.resent = job.attempts - 1 + job.resent

    def encode(self, item: Any, limits: TimeLimits) -> Encoded | None:
        """Encode a request as `Lane.encode` does, with the fields of the listener."""
        encoded = self._encode(item, limits)
        return None if encoded is None else self.with_fields(encoded, limits)

    def with_fields(self, encoded: Encoded, limits: TimeLimits) -> Encoded:
        """Return an encoded request with the fields of the listener, if it adds any."""
        listener = self._listener
        if not listener.carries or not listener.carries_to(key_of(encoded)):
            return encoded
        return watched(encoded, limits, self.watch)

    def tell_of_response(self, job: Job, response_builder: Any, course: Course) -> None:
        """Tell of a response that a relay has received."""
        watch = self.watch
        if watch.is_open:
            watch.head_received(*self._head_of(response_builder))
            watch.attempt_ended(course[4], None, None)
        elif not self._listener.is_idle:
            request = job.request
            url = request if type(request) is str else response_builder.final_url(request)
            self.count_sent(job)
            key = cast("HostKey", job.host.key)
            head = self._head_of(response_builder)
            watch.answered(job.method, key, url, head, (course[0], course[4]))
        job.resent = 0

    def _head_of(self, response_builder: Any) -> tuple[int, bytes, object]:
        connection, head = response_builder.connection, response_builder.head
        if connection is not self._connection:
            self._connection, self._peer = connection, peer_of(connection)
        return head.status, head.version, self._peer

    def tell_of_outcome(self, job: Job, outcome: Outcome) -> None:
        """Tell of an attempt that has ended."""
        watch, course = self.watch, outcome.timing
        if not watch.is_open:
            return
        ended_at = course[4] if isinstance(course, tuple) else 0.0
        left = watch.attempt_ended(ended_at or self._clock(), outcome.kind, outcome.error)
        job.resent = 0 if outcome.kind is None else job.resent + left

    def tell_of_cut(
        self, job: Job, abandoned: tuple[Encoded, float] | None, *, is_late: bool
    ) -> None:
        """
        Tell of an attempt that was cancelled.

        Args:
            job: Its request.
            abandoned: The request that a relay has given up, if one has, and when it was begun.
            is_late: Whether the time limit of the batch has cancelled it.
        """
        watch = self.watch
        if not watch.is_open and abandoned is not None:
            encoded, begun_at = abandoned
            url = encoded[1] if isinstance(encoded, tuple) else encoded.url
            self.count_sent(job)
            watch.sent(job.method, url, begun_at)
        if watch.is_open:
            watch.cancelled(self._clock(), FailureKind.timeout if is_late else None)
