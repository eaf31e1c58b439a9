"""`Folder`, and the paths that stand for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asyncbatch import Folder, Request
from asyncbatch._values._folder import is_folder


def test_a_folder_has_the_documented_defaults():
    """A path is all that it needs."""
    folder = Folder("x")

    assert (folder.path, folder.name, folder.exists, folder.resume) == (
        Path("x"),
        "url",
        "skip",
        True,
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"path": 7}, TypeError),
        ({"path": b"x"}, TypeError),
        ({"path": ""}, ValueError),
        ({"path": "a\0b"}, ValueError),
        ({"path": "a\ud800b"}, ValueError),
        ({"path": "x", "name": "server"}, ValueError),
        ({"path": "x", "name": 7}, TypeError),
        ({"path": "x", "exists": "ask"}, ValueError),
        ({"path": "x", "resume": "yes"}, TypeError),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(arguments: Any, error: type[Exception]):
    """The message names the argument."""
    with pytest.raises(error, match=r"path|name|exists|resume"):
        Folder(**arguments)


@pytest.mark.parametrize(
    ("to", "error"),
    [
        (7, TypeError),
        (b"x", TypeError),
        ("", ValueError),
        ("a\0b", ValueError),
        ("a\ud800b", ValueError),
    ],
)
def test_a_request_refuses_what_is_no_path(to: Any, error: type[Exception]):
    """Before anything is sent."""
    with pytest.raises(error, match=r"to|path"):
        Request("http://host.test/", to=to)


def test_a_path_that_ends_with_a_slash_is_a_folder():
    """So are the current and the upper one."""
    assert all(map(is_folder, ("x/", ".", "..", "a/..", "/", Path())))
    assert not any(map(is_folder, ("x", "a/x.bin", Path("x"))))
