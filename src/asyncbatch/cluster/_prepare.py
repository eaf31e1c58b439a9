"""
Makes the folder of a data set, with the plan and the requests of each shard, or opens an old one.

All requests are on disk before the first is sent, so that a shard can be run again, anywhere. The
input is read once; of an iterator, a bounded number of requests is in memory.
"""

from __future__ import annotations

import heapq
import os
import secrets
import shutil
import uuid
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import attrs

from asyncbatch import FetcherOptions, RequestLike
from asyncbatch._api._options import warn_caller
from asyncbatch._journal._identity import SIZE
from asyncbatch._journal._open_journal import changed_options

from ._answers import Answers
from ._census import Census
from ._folder_lock import NAME, held
from ._layout import PLAN, SHARDS, Layout, remove_empty
from ._notes import Notes
from ._options import PlanLimits, packed
from ._packing import Packed
from ._plan import counted, iterated, planned
from ._plan_file import plan_text, read_plan
from ._requests import RequestsWriter, read_requests
from ._run import ShardTask


@attrs.frozen
class Shape:
    """How to cut the requests."""

    workers: int
    shards: int | None
    latency: float


def prepared(
    out: str | os.PathLike[str],
    requests: Iterable[RequestLike],
    options: FetcherOptions,
    limits: PlanLimits,
    shape: Shape,
) -> tuple[Layout, list[ShardTask]]:
    """
    Return the shards of a data set, which is made if it is not there.

    Raises:
        TypeError: If a request or an option cannot be pickled.
        ValueError: If the folder has the results of other requests, or is no data set.
        RuntimeError: If another program fetches into the folder.
        OSError: If the folder cannot be written.
    """
    folder = Path(out).absolute()
    pickled = packed(options)
    answers = Answers(options)
    _check_usable(folder)
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        with held(folder) as is_alone:
            given: Iterable[Any] | None = requests
            if not Layout(folder).plan.exists():
                given = _make(folder, requests, counted(options), limits, shape, answers, is_alone)
            found = read_plan(folder)
            if given is not None:
                _check_same(folder, found, given, answers)
    except BaseException:
        remove_empty(made[::-1])
        raise
    layout = Layout(folder, found["plan_id"])
    tasks = [
        ShardTask(
            out=str(folder),
            plan_id=found["plan_id"],
            shard=number,
            requests=count,
            options=pickled,
            tag_type=found["tag_type"],
            rest=rest,
        )
        for number, (count, rest) in enumerate(found["shards"])
    ]
    return layout, tasks


def _check_same(
    folder: Path, found: dict[str, Any], requests: Iterable[Any], answers: Answers
) -> None:
    """
    Compare a call with the data set in its folder.

    Raises:
        ValueError: If the requests differ.
    """
    notes = Notes(bytes.fromhex(found["secret"]), answers.locate)
    for item in iterated(requests):
        notes.add(item)
    difference = notes.difference(found["notes"])
    if difference is not None:
        raise ValueError(
            f"{folder} holds the results of other requests ({difference}); give the same ones "
            "in the same order to go on, or another folder"
        )
    if changes := changed_options(found["options"], answers.options()):
        warn_caller(
            f"{folder} was begun with other options, and what was fetched with them stays: "
            f"{', '.join(changes.values())}"
        )


def _make(
    folder: Path,
    requests: Iterable[RequestLike],
    census: Census,
    limits: PlanLimits,
    shape: Shape,
    answers: Answers,
    is_alone: bool,
) -> Iterable[Any] | None:
    """
    Make a data set; return the requests if another program has made one meanwhile.

    If it `is_alone`, no other program can be about to do so, and what lies there is of none.
    """
    layout = Layout(folder, uuid.uuid4().hex)
    secret = secrets.token_bytes(SIZE)
    notes = Notes(secret, answers.locate)
    made = layout.make()
    try:
        again = _counted(layout, requests, census, notes)
        _, cut = planned(census, limits, **attrs.asdict(shape))
        _write(layout, again, census, cut)
        is_first = _keep_plan(layout, secret, notes, cut, answers)
    except BaseException:
        shutil.rmtree(layout.requests, ignore_errors=True)
        if is_alone:
            remove_empty(made)
        raise
    if not is_first:
        return _written(layout)
    if is_alone:
        _remove_unplanned(layout)
    return None


def _check_usable(folder: Path) -> None:
    found = folder.exists() and {each.name for each in folder.iterdir()} - {NAME}
    if found and not found & {PLAN, SHARDS}:
        raise ValueError(f"{folder} is not empty, and no data set; give another folder")


def _remove_unplanned(layout: Layout) -> None:
    """Remove the requests of programs that ended before their plan was kept."""
    for other in layout.out.glob("requests-*"):
        if other != layout.requests:
            shutil.rmtree(other, ignore_errors=True)


def _counted(
    layout: Layout, requests: Iterable[RequestLike], census: Census, notes: Notes
) -> Iterable[Any]:
    """Count the requests, and return what yields them again."""
    if isinstance(requests, list | tuple):
        for item in requests:
            census.add(item)
            notes.add(item)
        return requests
    spool = layout.requests / "input"
    writer = RequestsWriter(lambda _: spool)
    for index, item in enumerate(iterated(requests)):
        census.add(item)
        notes.add(item)
        writer.add(0, index, item)
    writer.flush()
    return _spooled(spool)


def _spooled(path: Path) -> Iterator[Any]:
    if path.exists():
        for _, requests in read_requests(path):
            yield from requests
        path.unlink()


def _write(
    layout: Layout, requests: Iterable[Any], census: Census, cut: tuple[Packed, ...]
) -> None:
    units = list(census.counts)
    shard_of = {units[place]: shard for shard, each in enumerate(cut) for place in each.places}
    writer = RequestsWriter(layout.requests_of)
    for index, item in enumerate(requests):
        writer.add(shard_of[census.unit_of(item)], index, item)
    writer.flush()


def _written(layout: Layout) -> Iterator[Any]:
    """Yield all requests on disk in the order of the input, and remove them."""
    try:
        shards = [_placed(path) for path in layout.requests.glob("*.requests")]
        for _, request in heapq.merge(*shards, key=itemgetter(0)):
            yield request
    finally:
        shutil.rmtree(layout.requests, ignore_errors=True)


def _placed(path: Path) -> Iterator[tuple[int, Any]]:
    for places, requests in read_requests(path):
        yield from zip(places, requests, strict=True)


def _keep_plan(
    layout: Layout, secret: bytes, notes: Notes, cut: tuple[Packed, ...], answers: Answers
) -> bool:
    """Write the plan, unless another program has done so meanwhile; return whether it has not."""
    aside = layout.requests / "plan.json"
    text = plan_text(
        plan_id=layout.requests.name.removeprefix("requests-"),
        secret=secret.hex(),
        notes=notes.kept(),
        options=answers.options(),
        tag_type=notes.tag_type,
        shards=[(each.requests, each.rest) for each in cut],
    )
    aside.write_text(text)
    try:
        layout.plan.hardlink_to(aside)
    except FileExistsError:
        return False
    aside.unlink()
    return True
