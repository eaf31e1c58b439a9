"""
`RayExecutor`: Ray as an executor. Ray runs the function; its futures are those of the standard.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

from asyncbatch._results._arrow import library

T = TypeVar("T")


class RayExecutor(Executor):
    """
    Run shards on a Ray cluster: `fetch_sharded(..., executor=RayExecutor(num_cpus=1))`.

    The caller starts Ray, by `ray.init`, and the cluster.

    Args:
        options: As for `ray.remote`: `num_cpus`, `resources`, `max_retries` and the like.

    Raises:
        ImportError: If Ray is not installed; the message names the extra.
    """

    def __init__(self, **options: Any) -> None:
        self._ray = library("ray", "ray")
        self._options = options

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run a function on the cluster, and return its future."""
        remote = self._ray.remote(**self._options)(fn) if self._options else self._ray.remote(fn)
        found: Future[T] = remote.remote(*args, **kwargs).future()
        return found
