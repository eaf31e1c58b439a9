"""What an earlier run has left: when it is continued, and when it is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncbatch import Fetcher, Folder
from tests.behaviour.files.lies import (
    CUT,
    LATER,
    MODIFIED,
    TAG,
    TAG2,
    V1,
    V2,
    Answers,
    Case,
    Script,
    ranged,
    whole,
)
from tests.behaviour.files.test_lying_servers import names_in
from tests.raw_server import serve

PART, NOTE = "file.part", ".file.resume"

pytestmark = [pytest.mark.once, pytest.mark.any_loop]


def note_of(folder: Path) -> dict[str, object]:
    """Return what stands beside the part."""
    return json.loads((folder / NOTE).read_bytes().split(b"\n")[0])


def with_note(**changes: object) -> Callable[[Path], None]:
    """Change what stands beside the part."""

    def change(folder: Path) -> None:
        first, rest = (folder / NOTE).read_bytes().split(b"\n", 1)
        changed = {**json.loads(first), **changes}
        (folder / NOTE).write_bytes(json.dumps(changed).encode() + b"\n" + rest)

    return change


def with_bytes(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Change the bytes of a file."""

    def write(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return write


def without(name: str) -> Callable[[Path], None]:
    """Remove a file."""
    return lambda folder: (folder / name).unlink()


def unsynced(folder: Path) -> None:
    """Let the system have crashed, and the first 10 bytes have reached the disk."""
    first = json.loads((folder / NOTE).read_bytes().split(b"\n")[0])
    lines = [json.dumps({**first, "boot": "another"}), "10", "4"]
    (folder / NOTE).write_text("\n".join(lines))


async def leave(url: str, folder: Path, **options: object) -> None:
    """Fetch a file whose server breaks off, once."""
    async with Fetcher(to=Folder(folder, **options), retry=None) as fetcher:
        result = await fetcher.fetch(url)
    assert result.kind == "truncated"


LEFT: dict[str, tuple[Callable[[Path], None], int | None]] = {
    "as it was": (lambda folder: None, CUT),
    "no part": (without(PART), None),
    "an empty part": (with_bytes(PART, lambda _: b""), None),
    "a shorter part": (with_bytes(PART, lambda part: part[:10]), 10),
    "the whole as a part": (with_bytes(PART, lambda part: part + V1[CUT:]), 100),
    "a longer part": (with_bytes(PART, lambda part: part + V1), None),
    "no note": (without(NOTE), None),
    "an empty note": (with_bytes(NOTE, lambda _: b""), None),
    "half a note": (with_bytes(NOTE, lambda note: note[: len(note) // 2]), None),
    "a note of nonsense": (with_bytes(NOTE, lambda _: b"\x00\xff" * 100), None),
    "a note of another form": (with_bytes(NOTE, lambda _: b"[]\n"), None),
    "a note that is deep": (with_bytes(NOTE, lambda _: b"[" * 50_000), None),
    "a note without anything": (with_bytes(NOTE, lambda _: b"{}\n"), None),
    "a note that is long": (with_bytes(NOTE, lambda note: b" " * 70_000 + note), None),
    "another request": (with_note(request="another"), None),
    "no request": (with_note(request=None), None),
    "another location": (with_note(location="another"), None),
    "no tag": (with_note(etag=None), None),
    "a weak tag": (with_note(etag='W/"v1"'), None),
    "a tag with a line end": (with_note(etag='"v1"\r\nX-Injected: yes'), None),
    "a number as a tag": (with_note(etag=5), None),
    "a length below that of the part": (with_note(length=39), None),
    "a text as a length": (with_note(length="100"), None),
    "a body that was coded": (with_note(is_coded=True), None),
    # After a crash of the system counts what was synced.
    "a crash after all was synced": (with_note(boot="another"), CUT),
    "a crash before all was synced": (unsynced, 10),
}
"""What may be left of a file that broke off, and from where it is continued."""


@pytest.mark.parametrize("left", LEFT)
async def test_what_is_left_is_continued_if_it_is_sound(left: str, tmp_path: Path) -> None:
    """The file is that of the server, whatever was left."""
    change, start = LEFT[left]
    script = Script(Case("", (whole(V1, TAG, cut=CUT), ranged(V1, TAG))))
    async with serve(script) as server:
        await leave(f"{server.url}file", tmp_path)
        change(tmp_path)
        async with Fetcher(to=tmp_path) as fetcher:
            result = await fetcher.fetch(f"{server.url}file")

    assert result.ok, result.error
    assert (tmp_path / "file").read_bytes() == V1
    assert names_in(tmp_path) == {"file"}
    # Of a location that was changed, the rest is asked for, and refused.
    asked = script.asked[1:]
    assert asked[-1] == start
    assert len(asked) == 1 or asked == [CUT, None]
    assert all(b"x-injected" not in head.lower() for head in script.heads)


@pytest.mark.parametrize(
    ("before", "after", "start"),
    [
        ("file", "file", CUT),
        ("file#a", "file#b", CUT),
        ("file?id=1", "file?id=1", CUT),
        ("file?id=1", "file?id=2", None),
        ("a/file", "b/file", None),
    ],
)
async def test_the_part_of_another_url_is_not_continued(
    before: str, after: str, start: int | None, tmp_path: Path
) -> None:
    """Although both have one name."""
    script = Script(Case("", (whole(V1, TAG, cut=CUT), ranged(V1, TAG))))
    async with serve(script) as server:
        await leave(server.url + before, tmp_path)
        async with Fetcher(to=tmp_path) as fetcher:
            result = await fetcher.fetch(server.url + after)

    assert result.ok
    assert script.asked[1:] == [start]
    assert (tmp_path / "file").read_bytes() == V1


CHANGED_DATE = LATER.replace("Date", "Last-Modified")
WEAK = 'ETag: W/"v1"'


@pytest.mark.parametrize(
    ("before", "after", "expected", "asked"),
    [
        pytest.param((TAG,), ranged(V2, TAG2), V2, [CUT, None], id="If-Range ignored"),
        pytest.param((TAG,), whole(V2, TAG2), V2, [CUT], id="another tag"),
        pytest.param((TAG,), whole(V2), V2, [CUT], id="no tag any more"),
        pytest.param((MODIFIED, LATER), ranged(V1, MODIFIED), V1, [CUT], id="the same date"),
        pytest.param(
            (MODIFIED, LATER), ranged(V2, CHANGED_DATE), V2, [CUT, None], id="another date"
        ),
        pytest.param((WEAK,), ranged(V2, WEAK), V2, [None], id="a weak tag"),
        pytest.param((), ranged(V2), V2, [None], id="nothing"),
    ],
)
async def test_a_file_that_may_have_changed_between_two_runs_is_fetched_anew(
    before: tuple[str, ...],
    after: Answers,
    expected: bytes,
    asked: list[int | None],
    tmp_path: Path,
) -> None:
    """What was left is continued only if the server proves that it is of the same version."""
    script = Script(Case("", (whole(V1, *before, cut=CUT), after)))
    async with serve(script) as server:
        await leave(f"{server.url}file", tmp_path)
        async with Fetcher(to=tmp_path) as fetcher:
            result = await fetcher.fetch(f"{server.url}file")

    assert result.ok
    assert (tmp_path / "file").read_bytes() == expected
    assert script.asked[1:] == asked
    assert result.resumed_from == (CUT if asked == [CUT] and expected == V1 else 0)


async def test_what_is_left_is_not_continued_if_the_caller_does_not_want_it(
    tmp_path: Path,
) -> None:
    """With `resume=False`; within its tries, a file is continued."""
    script = Script(Case("", (whole(V1, TAG, cut=CUT), whole(V1, TAG, cut=30), ranged(V1, TAG))))
    async with serve(script) as server:
        await leave(f"{server.url}file", tmp_path)
        async with Fetcher(to=Folder(tmp_path, resume=False)) as fetcher:
            result = await fetcher.fetch(f"{server.url}file")

    assert result.ok
    assert script.asked == [None, None, 30]


async def test_no_secret_stands_beside_a_part(tmp_path: Path) -> None:
    """Neither of the URL nor of the headers; and others cannot read it."""
    script = Script(Case("", (whole(V1, TAG, cut=CUT),)))
    async with serve(script) as server:
        url = f"http://user:secret1@127.0.0.1:{server.port}/secret2/file?token=secret3"
        headers = {"authorization": "Bearer secret4", "cookie": "secret5"}
        async with Fetcher(to=tmp_path, retry=None, headers=headers) as fetcher:
            await fetcher.fetch(url)

    assert b"secret" not in (tmp_path / NOTE).read_bytes()
    assert (tmp_path / NOTE).stat().st_mode & 0o077 == 0
    assert note_of(tmp_path)["etag"] == '"v1"'
