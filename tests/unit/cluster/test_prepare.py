"""The folder of a data set: its plan, and the requests of its shards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from asyncbatch import Rate, Request
from asyncbatch.cluster import _folder_lock, _prepare
from asyncbatch.cluster._layout import Layout
from asyncbatch.cluster._options import checked
from asyncbatch.cluster._prepare import Shape, prepared
from asyncbatch.cluster._requests import read_requests
from asyncbatch.cluster._run import ShardTask

URLS = [f"http://h{n % 7}.example/{n}" for n in range(700)]


def tasks_of(
    out: Path, requests: Iterable[Any], *, workers: int = 2, **options: Any
) -> list[ShardTask]:
    shape = Shape(workers=workers, shards=4, latency=0.2)
    return prepared(out, requests, options, checked(options), shape)[1]  # type: ignore[arg-type]


def requests_in(out: Path) -> dict[int, Any]:
    found = {}
    for path in out.glob("requests-*/*.requests"):
        for places, items in read_requests(path):
            found.update(zip(places, items, strict=True))
    return found


@pytest.mark.parametrize("kind", [list, tuple, iter, set])
def test_all_requests_are_on_disk_with_their_places(tmp_path: Path, kind: Any) -> None:
    """Of a list, which is read twice, and of what can be read only once."""
    requests = kind(URLS)
    expected = dict(enumerate(set(URLS) if kind is set else URLS))

    tasks = tasks_of(tmp_path / "out", requests)

    assert sum(task.requests for task in tasks) == 700
    assert requests_in(tmp_path / "out") == expected
    assert not list((tmp_path / "out").glob("requests-*/input"))


def test_a_host_is_in_one_shard(tmp_path: Path) -> None:
    """All of its requests, in their order."""
    tasks_of(tmp_path / "out", URLS)

    where: dict[str, set[str]] = {}
    for path in (tmp_path / "out").glob("requests-*/*.requests"):
        for places, items in read_requests(path):
            assert list(places) == sorted(places)
            for item in items:
                where.setdefault(item.split("/")[2], set()).add(path.name)
    assert {len(shards) for shards in where.values()} == {1}
    assert len(where) == 7


def test_the_same_requests_have_the_same_shards(tmp_path: Path) -> None:
    """Also with other workers: what is there is taken up."""
    tasks = tasks_of(tmp_path / "out", URLS)

    assert tasks_of(tmp_path / "out", iter(URLS), workers=20) == tasks


def test_options_may_change(tmp_path: Path) -> None:
    """Shards that are not done are fetched with the new ones."""
    tasks_of(tmp_path / "out", URLS, timeout=1)

    assert b"per_host" in tasks_of(tmp_path / "out", URLS, per_host=3)[0].options


@pytest.mark.parametrize(
    ("tags", "kind"),
    [
        ([None, None], None),
        ([1, None, 2], "int"),
        (["a", "b"], "str"),
        ([1, "a"], None),
        ([2**70, 2**70], None),
        ([(1,), (2,)], None),
        ([0.5], "float"),
    ],
)
def test_tags_of_one_simple_type_stay_as_they_are(
    tmp_path: Path, tags: list[Any], kind: str | None
) -> None:
    """The column has one type in all shards."""
    requests = [Request("http://a.example/", tag=tag) for tag in tags]

    [task] = tasks_of(tmp_path / "out", requests)

    assert task.tag_type == kind


def test_the_next_worker_waits_for_the_rates_of_its_hosts(tmp_path: Path) -> None:
    """For the slowest of the shard: ten starts at once, and one each 0.6 s."""
    assert {task.rest for task in tasks_of(tmp_path / "a", URLS)} == {0.0}

    tasks = tasks_of(tmp_path / "b", URLS, rate=Rate(100, per=60, burst=10))
    assert [task.rest for task in tasks] == [pytest.approx(6.0)] * len(tasks)


def test_a_program_that_was_killed_before_its_plan_leaves_nothing(tmp_path: Path) -> None:
    """What it has written is replaced."""
    tasks_of(tmp_path / "out", URLS)
    (tmp_path / "out" / "plan.json").unlink()

    tasks_of(tmp_path / "out", URLS[:70])

    assert len(list((tmp_path / "out").glob("requests-*"))) == 1
    assert len(requests_in(tmp_path / "out")) == 70


def test_an_input_that_raises_leaves_no_requests(tmp_path: Path) -> None:
    """The exception is the caller's."""

    def broken() -> Iterable[str]:
        yield from URLS
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        tasks_of(tmp_path / "out", broken())

    assert not list((tmp_path / "out").glob("requests-*"))
    assert sum(task.requests for task in tasks_of(tmp_path / "out", URLS)) == 700


def test_bodies_tell_requests_apart(tmp_path: Path) -> None:
    """Another body is another request."""
    tasks_of(tmp_path / "out", [Request("http://a.example/", "POST", json={"a": 1})])

    with pytest.raises(ValueError, match="holds the results of other requests"):
        tasks_of(tmp_path / "out", [Request("http://a.example/", "POST", json={"a": 2})])


def test_a_relative_url_is_that_of_its_base(tmp_path: Path) -> None:
    """With another `base_url` it is another request, and in full it is the same one."""
    tasks = tasks_of(tmp_path / "out", ["b?c"], base_url="http://a.example/x/")

    same = tasks_of(tmp_path / "out", ["http://a.example/x/b?c"])
    assert [task.requests for task in same] == [task.requests for task in tasks]
    with pytest.raises(ValueError, match="request 0 is the first that differs"):
        tasks_of(tmp_path / "out", ["b?c"], base_url="http://b.example/x/")


def test_the_requests_of_a_program_that_was_faster_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if they had been there before the call; nothing is left of those that are not kept."""
    keep = _prepare._keep_plan

    def slow(layout: Layout, *rest: Any) -> bool:
        monkeypatch.setattr(_prepare, "_keep_plan", keep)
        tasks_of(tmp_path / "faster", URLS)
        shutil.copytree(tmp_path / "faster", tmp_path / "out", dirs_exist_ok=True)
        shutil.rmtree(tmp_path / "faster")
        return keep(layout, *rest)

    def tasks_of_the_slower_one(requests: list[str]) -> list[ShardTask]:
        monkeypatch.setattr(_prepare, "_keep_plan", slow)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        return tasks_of(tmp_path / "out", iter(requests))

    assert tasks_of_the_slower_one(URLS) == tasks_of(tmp_path / "out", URLS)
    with pytest.raises(ValueError, match="the same ones, but in another order"):
        tasks_of_the_slower_one(URLS[::-1])
    assert len(list((tmp_path / "out").glob("requests-*"))) == 1


def test_requests_of_another_program_stay_where_there_are_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may still write them: they are left until both plans are there."""
    monkeypatch.setattr(_folder_lock, "_lock_in", lambda _: None)
    other = Layout(tmp_path / "out", "other")
    other.make()
    other.requests_of(0).touch()

    tasks_of(tmp_path / "out", URLS)

    assert other.requests_of(0).exists()


def test_a_call_that_is_refused_leaves_the_folders_of_another_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are no locks, they may be those of one that is about to fetch."""
    monkeypatch.setattr(_folder_lock, "_lock_in", lambda folder: folder.mkdir(exist_ok=True))

    with pytest.raises(TypeError):
        tasks_of(tmp_path / "out", [Request("http://a.example/", tag=lambda: 1)])

    assert Layout(tmp_path / "out").shards.exists()


def test_a_call_beside_another_one_is_told(tmp_path: Path) -> None:
    """It may come again; a folder with what a killed one left is no folder of others."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / _folder_lock.NAME).touch()
    with (
        _folder_lock.held(tmp_path / "out"),
        pytest.raises(RuntimeError, match="fetches into this folder; call again after its end"),
    ):
        tasks_of(tmp_path / "out", URLS)

    assert tasks_of(tmp_path / "out", URLS)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"follow_redirects": False}, "follow_redirects was True and is False"),
        ({"max_redirects": 3}, "max_redirects was 20 and is 3"),
        ({"max_body": 7}, "max_body was .* and is 7"),
        ({"addresses": "public"}, "addresses was None and is 'public'"),
        ({"check": len}, "check was None and is 'a function'"),
    ],
)
def test_other_options_that_change_answers_are_told(
    tmp_path: Path, options: Any, text: str
) -> None:
    """As a journal tells them: what is there stays."""
    tasks_of(tmp_path / "out", URLS)

    with pytest.warns(RuntimeWarning, match=text):
        tasks_of(tmp_path / "out", URLS, **options)


def test_what_a_client_adds_is_not_compared(tmp_path: Path) -> None:
    """A token may have changed since."""
    tasks_of(tmp_path / "out", URLS, headers={"authorization": "a"}, cookies={"a": "b"})

    assert tasks_of(tmp_path / "out", URLS, headers={"authorization": "b"}, auth=("a", "b"))


@pytest.mark.parametrize("text", ["{", "[]", "5", '{"version": 2}', "\udcff", ""])
def test_a_damaged_plan_is_told(tmp_path: Path, text: str) -> None:
    """With its path and the cure."""
    tasks_of(tmp_path / "out", URLS)
    path = tmp_path / "out" / "plan.json"
    path.write_bytes(text.encode(errors="surrogateescape"))

    with pytest.raises(ValueError, match=r"plan.json is damaged.*give another folder"):
        tasks_of(tmp_path / "out", URLS)


@pytest.mark.parametrize("requests", [[Request("http://a.example/", tag=lambda: 1)], URLS])
def test_a_refused_call_leaves_no_folders(tmp_path: Path, requests: Any) -> None:
    """Neither those of the data set nor those around it."""
    latency: Any = None if requests is URLS else 0.2

    with pytest.raises(TypeError):
        prepared(tmp_path / "a" / "b", requests, {}, checked({}), Shape(1, None, latency))

    assert not list(tmp_path.iterdir())


def test_a_folder_of_another_release_is_refused(tmp_path: Path) -> None:
    """It may be laid out in another way."""
    tasks_of(tmp_path / "out", URLS)
    (tmp_path / "out" / "plan.json").write_text(json.dumps({"version": 99}))

    with pytest.raises(ValueError, match="made by another release"):
        tasks_of(tmp_path / "out", URLS)


def test_nothing_to_fetch_is_a_data_set_without_shards(tmp_path: Path) -> None:
    """An empty list or iterator."""
    assert tasks_of(tmp_path / "a", []) == tasks_of(tmp_path / "b", iter([])) == []


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    """Nothing in it is touched."""
    (tmp_path / "photo.jpg").touch()

    with pytest.raises(ValueError, match="is not empty, and no data set"):
        tasks_of(tmp_path, URLS)

    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
