"""
`Journal`: the path and the options of a journal. It opens readers and writers.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import attrs

from asyncbatch._journal._filesystem import refuse_network
from asyncbatch._journal._policy import RetryTypes
from asyncbatch._journal._reader import JournalReader
from asyncbatch._journal._schema import checked_path
from asyncbatch._journal._store import BodiesTypes, Durability, Store
from asyncbatch._values._checks import as_path, check_flag, check_function
from asyncbatch._values._request import Request

KeyRule: TypeAlias = Literal["tag"] | Callable[[Request], Any] | None
PathTypes: TypeAlias = str | os.PathLike[str]

S = TypeVar("S", bound=Store)


def _to_path(value: Any) -> Path:
    path = as_path(value)
    if not os.fspath(value):
        raise ValueError("path must name a file, not ''")
    return path


def _one_of(*allowed: str) -> Callable[[object, attrs.Attribute[Any], object], None]:
    def check(_: object, field: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, str) or value not in allowed:
            names = ", ".join(map(repr, allowed[:-1]))
            raise ValueError(f"{field.name} must be {names} or {allowed[-1]!r}, not {value!r}")

    return check


def _check_age(_: object, __: object, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"max_age must be a number of seconds or None, not {value!r}")
    if not value >= 0 or value == math.inf:
        raise ValueError(f"max_age must be 0 or more seconds, not {value!r}; None: any age")


def _check_key(_: object, __: object, value: object) -> None:
    if value is None or value == "tag":
        return
    if isinstance(value, str):
        raise ValueError(f"key must be 'tag', a function or None, not {value!r}")
    check_function("key", value, "'tag', a function that takes an asyncbatch.Request, or None")


def _check_flag(_: object, field: attrs.Attribute[Any], value: object) -> None:
    check_flag(field.name, value)


@attrs.frozen
class Journal:
    """
    A file in which a batch keeps its results, so that the same batch run again goes on.

    Give it as `journal=` to `fetch_many` or `stream`. A plain path stands for a journal with the
    defaults. One batch writes to a journal at a time; any number of readers may read it meanwhile.
    Making a `Journal` opens nothing.
    """

    path: Path = attrs.field(converter=_to_path)
    """The file; it is made if it does not exist, with the mode 0600. Its folder must exist."""
    retry: RetryTypes = attrs.field(
        default="transient", kw_only=True, validator=_one_of("transient", "all", "none")
    )
    """Which failures of an earlier run are sent again: those that may pass (`"transient"`: no
    connection, timeouts, the statuses of `Retry.statuses`; an unsafe request only if it cannot have
    been carried out), `"all"`, requests in doubt included, or `"none"`."""
    bodies: BodiesTypes = attrs.field(
        default="all", kw_only=True, validator=_one_of("all", "ok", "none")
    )
    """Which bodies are kept: `"all"`, `"ok"` (those of successes), or `"none"`. A result whose body
    was not kept is served with empty content."""
    durability: Durability = attrs.field(
        default="process", kw_only=True, validator=_one_of("process", "power")
    )
    """What a delivered result survives: the end of the process (`"process"`), or of the machine too
    (`"power"`; each group of results then waits for the disk)."""
    max_age: float | None = attrs.field(default=None, kw_only=True, validator=_check_age)
    """Seconds after which a result is too old: its request is sent again, if it may be sent twice.
    So is one from the future, kept while the clock was ahead. `None`: any age."""
    key: KeyRule = attrs.field(default=None, kw_only=True, validator=_check_key)
    """What identifies a request that has no `key` itself: `None`, the request as it is; `"tag"`,
    its tag; or a function of the `Request` that returns a key. If the tag or the key is `None`, the
    request as it is."""
    strict: bool = attrs.field(default=False, kw_only=True, validator=_check_flag)
    """Whether options that change answers, and are not those of the earlier run, raise
    `JournalChanged`. Otherwise they are a `RuntimeWarning`."""

    @staticmethod
    def read(path: PathTypes) -> JournalReader:
        """
        Open a journal to read its results, also while a batch writes to it.

        Raises:
            NotAJournal: If the file is not a journal, is damaged, or is of a newer version.
            OSError: If it does not exist, or cannot be read.
        """
        return JournalReader(_to_path(path))

    def opener(self) -> Callable[[], Store]:
        """Return the function that opens the file for writing. It blocks."""
        return functools.partial(opened, self, Store)


def opened(journal: Journal, kind: type[S]) -> S:
    """Open the file of a journal for writing, as a `Store` of some kind."""
    shown = os.fspath(journal.path)
    path = checked_path(journal.path, shown)
    refuse_network(path, shown)
    return kind(path, shown, durability=journal.durability, bodies=journal.bodies)


def as_journal(value: Journal | PathTypes) -> Journal:
    """
    Return the option `journal` as a `Journal`.

    Raises:
        TypeError: If it is neither a `Journal` nor a path.
        ValueError: If the path cannot be one.
    """
    if isinstance(value, Journal):
        return value
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"journal must be a path or an asyncbatch.Journal, not {value!r}")
    return Journal(value)


JournalTypes: TypeAlias = Journal | PathTypes
