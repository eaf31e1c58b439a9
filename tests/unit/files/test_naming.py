"""`Naming`: the path of a file before and after the head of its response is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asyncbatch import Folder, Request
from asyncbatch._files._naming import Naming
from asyncbatch._values._sink import Head, SinkFailure

REQUEST = Request("http://host.test/dir/a%20b.txt?x=1")


def claim(folder: Path, name: str, renames: bool) -> str:
    return name


def naming(folder: Folder, request: Request = REQUEST, name: str | None = None) -> Naming:
    return Naming(folder, request, claim, name)


def head(**fields: str) -> Head:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return Head(200, "GET", "http://host.test/", raw, lambda: "the response")


def test_a_file_named_after_its_url_is_known_before_the_request():
    """So is its part."""
    named = naming(Folder("x"))

    assert named.path == named.part_path == Path("x/a b.txt")


def test_a_file_named_by_its_server_is_known_afterwards():
    """Its part has the same name at each run, and another one for another URL."""
    folder = Folder("x", name="disposition")
    named, again = naming(folder), naming(folder)
    other = naming(folder, Request("http://host.test/dir/a%20b.txt?x=2"))
    before = named.path
    path = named.name(head(content_disposition='attachment; filename="../c.txt"'))

    assert before is None
    assert path == named.path == Path("x/c.txt")
    assert again.part_path != other.part_path
    assert again.part_path.parent == Path("x")


def test_without_a_disposition_the_url_names_the_file():
    """Or with one that has no name."""
    folder = Folder("x", name="disposition")

    assert naming(folder).name(head()) == Path("x/a b.txt")
    assert naming(folder).name(head(content_disposition="inline")) == Path("x/a b.txt")


def test_a_function_names_the_file():
    """It is given the request and the response, and its name is made safe."""
    seen: list[Any] = []

    def name(request: Request, response: Any) -> str:
        seen.append((request, response))
        return "../../etc/passwd"

    path = naming(Folder("x", name=name)).name(head())

    assert seen == [(REQUEST, "the response")]
    assert path == Path("x/passwd")


@pytest.mark.parametrize("name", [lambda *_: None, lambda *_: 1 / 0], ids=["none", "raises"])
def test_a_function_that_fails_is_the_callers(name: Any):
    """Its request fails with kind `callback`."""
    with pytest.raises(SinkFailure) as caught:
        naming(Folder("x", name=name)).name(head())

    assert caught.value.kind == "callback"
    assert caught.value.error is not None
