"""
Makes the folder of a data set: the plan, and the requests of each shard; or takes up what is there.

All requests are on disk before the first is sent, so that a shard can be run again, anywhere. The
input is read once; of an iterator, a bounded number of requests is in memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs

from asyncbatch import FetcherOptions, Request, RequestLike

from ._census import Census
from ._layout import Layout
from ._options import Limits, packed
from ._packing import Packed
from ._plan import counted, iterated, planned
from ._requests import RequestsWriter, read_requests
from ._run import ShardTask

VERSION = 1

_SIMPLE = {str: "str", bool: "bool", int: "int", float: "float"}
_INT64 = range(-(2**63), 2**63)


@attrs.frozen
class Shape:
    """How the requests are to be cut."""

    workers: int
    shards: int | None
    latency: float


def prepared(
    out: str | os.PathLike[str],
    requests: Iterable[RequestLike],
    options: FetcherOptions,
    limits: Limits,
    shape: Shape,
) -> tuple[Layout, list[ShardTask]]:
    """
    Return the shards of a data set, which is made if it is not there.

    Raises:
        TypeError: If a request or an option cannot be pickled.
        ValueError: If the folder has the results of other requests, or is no data set.
        OSError: If the folder cannot be written.
    """
    folder = Path(out).absolute()
    pickled = packed(options)
    if not Layout(folder).plan.exists():
        _make(folder, requests, counted(options), limits, shape)
        found = _read(folder)
    else:
        found = _read(folder)
        notes = _Notes()
        for item in iterated(requests):
            notes.add(item)
        if notes.fingerprint != found["fingerprint"]:
            raise ValueError(
                f"{folder} holds the results of other requests ({found['requests']:,}, and here "
                f"are {notes.count:,}); give the same ones to go on, or another folder"
            )
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


def _read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Layout(folder).plan.read_text())
    if found.get("version") != VERSION:
        raise ValueError(f"{folder} was made by another release of asyncbatch")
    return found


class _Notes:
    """What is kept of the input beside the requests."""

    def __init__(self) -> None:
        self.count = 0
        self._hash = hashlib.blake2b(digest_size=16)
        self._tag_types: set[type] = set()

    def add(self, item: Any) -> None:
        """Take one request into account."""
        self.count += 1
        if type(item) is str:
            self._hash.update(f"{item}\n".encode("utf-8", "surrogatepass"))
            return
        request = Request.of(item)
        body = request.content, request.data, request.json
        parts = repr((str(request.url), request.method, request.key, body))
        self._hash.update(f"\0{parts}\n".encode("utf-8", "surrogatepass"))
        if (tag := request.tag) is not None:
            is_large = type(tag) is int and tag not in _INT64
            self._tag_types.add(object if is_large else type(tag))

    @property
    def fingerprint(self) -> str:
        """What tells these requests, in this order, from others."""
        return f"{self.count}-{self._hash.hexdigest()}"

    @property
    def tag_type(self) -> str | None:
        """The type of all tags, if they have one and it is simple."""
        found = [_SIMPLE.get(each) for each in self._tag_types]
        return found[0] if len(found) == 1 else None


def _make(
    folder: Path,
    requests: Iterable[RequestLike],
    census: Census,
    limits: Limits,
    shape: Shape,
) -> None:
    layout = Layout(folder, uuid.uuid4().hex)
    if folder.exists() and any(folder.iterdir()) and not layout.shards.exists():
        raise ValueError(f"{folder} is not empty, and no data set; give another folder")
    layout.make()
    try:
        notes = _Notes()
        again = _counted(layout, requests, census, notes)
        _, cut = planned(census, limits, **attrs.asdict(shape))
        _write(layout, again, census, cut)
        _keep_plan(layout, notes, cut)
    except BaseException:
        shutil.rmtree(layout.requests, ignore_errors=True)
        raise
    for other in folder.glob("requests-*"):  # of a program that ended before its plan was kept
        if other.name != f"requests-{_read(folder)['plan_id']}":
            shutil.rmtree(other, ignore_errors=True)


def _counted(
    layout: Layout, requests: Iterable[RequestLike], census: Census, notes: _Notes
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


def _keep_plan(layout: Layout, notes: _Notes, cut: tuple[Packed, ...]) -> None:
    found = {
        "version": VERSION,
        "plan_id": layout.requests.name.removeprefix("requests-"),
        "requests": notes.count,
        "fingerprint": notes.fingerprint,
        "tag_type": notes.tag_type,
        "shards": [(each.requests, each.rest) for each in cut],
    }
    aside = layout.requests / "plan.json"
    aside.write_text(json.dumps(found))
    try:
        layout.plan.hardlink_to(aside)
    except FileExistsError:  # another program has made the data set meanwhile
        shutil.rmtree(layout.requests, ignore_errors=True)
    else:
        aside.unlink()
