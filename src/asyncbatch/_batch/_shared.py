"""The state that all batches of a fetcher share: a value, made by the fetcher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from asyncbatch._batch._attempt import Attempter
from asyncbatch._progress import ProgressTypes
from asyncbatch._runtime._slots import Permits, Slots
from asyncbatch._runtime._stalls import Stalls
from asyncbatch._schedule._hosts import Hosts
from asyncbatch._values._retry import Retry
from asyncbatch._values._telemetry import Telemetry


@attrs.frozen
class Shared:
    """The state and the options that all batches of a fetcher share."""

    attempter: Attempter
    hosts: Hosts
    slots: Slots
    permits: Permits
    concurrency: int
    window: int
    """How many requests of a batch may be read and unfinished, over all hosts."""
    retry: Retry | None
    deadline: float | None
    check: Callable[[Any], object] | None
    progress: ProgressTypes
    stalls: Stalls
    end_all: Callable[[BaseException], object]
    """Ends all batches at once with an error."""
    telemetry: Telemetry | None = None
