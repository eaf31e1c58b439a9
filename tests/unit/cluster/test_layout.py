"""The folders of a data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncbatch.cluster._layout import Layout, remove_empty


def test_folders_that_were_made_can_be_removed(tmp_path: Path) -> None:
    """Those that were there before stay, and so does what is not empty."""
    (tmp_path / "a").mkdir()
    layout = Layout(tmp_path / "a" / "b" / "c", "plan")

    made = layout.make()

    assert made[:2] == [tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"]
    assert layout.make() == []
    remove_empty(made)
    assert [*tmp_path.rglob("*")] == [tmp_path / "a"]

    made = layout.make()
    (layout.shards / "0").touch()
    remove_empty(made)
    assert [*layout.out.iterdir()] == [layout.shards]


def test_folders_that_cannot_be_made_leave_none(tmp_path: Path) -> None:
    """A file may have the name of one."""
    layout = Layout(tmp_path / "out", "plan")
    layout.out.mkdir()
    layout.leases.touch()

    with pytest.raises(FileExistsError):
        layout.make()

    assert [*layout.out.iterdir()] == [layout.leases]


def test_nothing_that_only_unfinished_shards_need_is_left_at_the_end(tmp_path: Path) -> None:
    """Also what a worker that was killed has left beside the results."""
    layout = Layout(tmp_path, "plan")
    layout.make()
    (layout.journals / "000000.db").touch()
    unfinished = layout.unfinished_of(0, 1)
    unfinished.touch()
    layout.results_of(0).touch()
    layout.clear_all()

    assert [*layout.shards.iterdir()] == [layout.results_of(0)]
    assert not layout.journals.exists()
