"""Ray as an executor: how it is asked to run a function."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from asyncbatch.cluster import RayExecutor


class Ray:
    """What is used of Ray; it runs each function at once."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def remote(self, *functions: Callable[..., Any], **options: Any) -> Any:
        self.asked.append(options)
        assert functions or options
        return self._remote(*functions) if functions else self._remote

    def _remote(self, function: Callable[..., Any]) -> Any:
        def remote(*args: Any, **kwargs: Any) -> Any:
            future: Future[Any] = Future()
            future.set_result(function(*args, **kwargs))
            return SimpleNamespace(future=lambda: future)

        return SimpleNamespace(remote=remote)


@pytest.mark.parametrize("options", [{}, {"num_cpus": 2}])
def test_a_function_runs_with_the_options_of_the_executor(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray refuses parentheses without options."""
    ray = Ray()
    monkeypatch.setitem(sys.modules, "ray", ray)  # type: ignore[arg-type]

    assert RayExecutor(**options).submit(divmod, 7, 2).result() == (3, 1)
    assert ray.asked == [options]


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, not with the first shard."""
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(ImportError, match=r"asyncbatch\[ray\]"):
        RayExecutor()
