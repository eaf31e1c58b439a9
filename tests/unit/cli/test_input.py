"""What the command fetches, and the counts by which nothing is left out silently."""

from __future__ import annotations

import io
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asyncbatch._cli import _input
from asyncbatch._cli._input import Source, UsageError


def source(files: ExitStack, *urls: str, paths: tuple[Any, ...] = ()) -> Source:
    """Return what is read of URLs and files."""
    arguments: Any = SimpleNamespace(
        column=None, urls=list(urls), files=[str(path) for path in paths], request=lambda url: url
    )
    return Source(arguments, files)


@pytest.fixture
def files() -> Any:
    with ExitStack() as files:
        yield files


def listed(path: Path, *urls: str) -> Path:
    path.write_text("".join(f"{url}\n" for url in urls))
    return path


def test_urls_come_before_those_of_files(files: ExitStack, tmp_path: Path) -> None:
    """In the order in which they were given."""
    paths = (listed(tmp_path / "1", "http://c", "http://d"), listed(tmp_path / "2", "http://e"))
    one = source(files, "http://a", "http://b", paths=paths)

    assert list(one.requests()) == [f"http://{host}" for host in "abcde"]  # type: ignore[arg-type]
    assert (one.read, one.is_exhausted, one.unread()) == (5, True, "")


def test_without_files_it_is_known_how_many_there_are(files: ExitStack, tmp_path: Path) -> None:
    """A bar shows how far it is. A file is read as far as asked."""
    path = listed(tmp_path / "1", "http://a", "http://b")

    assert source(files, "http://a").requests() == ["http://a"]
    assert not isinstance(source(files, paths=(path,)).requests(), list)


@pytest.mark.parametrize(
    ("left", "said"), [(0, ""), (1, "1 URL was"), (2, "2 URLs were"), (1500, "1,500 URLs were")]
)
def test_what_was_not_read_is_counted(
    files: ExitStack, tmp_path: Path, left: int, said: str
) -> None:
    """And not taken for read."""
    path = listed(tmp_path / "1", *(f"http://{n}" for n in range(left + 1)))
    one = source(files, paths=(path,))
    requests: Any = iter(one.requests())
    next(requests)

    assert one.unread() == said
    assert one.read == 1


def test_a_list_without_end_is_counted_so_far(
    files: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no further."""
    monkeypatch.setattr(_input, "MOST_COUNTED", 10)
    path = listed(tmp_path / "1", *(f"http://{n}" for n in range(50)))
    one = source(files, paths=(path,))
    iter(one.requests())  # type: ignore[arg-type]

    assert one.unread() == "more than 10 URLs were"


def test_files_without_a_url_are_refused_by_name(files: ExitStack, tmp_path: Path) -> None:
    """With a URL beside them they are not."""
    empty = listed(tmp_path / "empty")
    with pytest.raises(UsageError, match=r"there is no URL in .*empty"):
        source(files, paths=(empty,))

    assert list(source(files, "http://a", paths=(empty,)).requests()) == ["http://a"]  # type: ignore[arg-type]


def test_a_file_is_given_once(files: ExitStack, tmp_path: Path) -> None:
    """Under whatever name."""
    path, link = listed(tmp_path / "1", "http://a"), tmp_path / "link"
    link.hardlink_to(path)
    for other in (path, link):
        with pytest.raises(UsageError, match="twice"):
            source(files, paths=(path, other))


def test_the_files_that_are_read_are_known(files: ExitStack, tmp_path: Path) -> None:
    """The output may be none of them."""
    path = listed(tmp_path / "1", "http://a")
    one = source(files, paths=(path,))

    assert one.holds(path)
    assert not one.holds(listed(tmp_path / "2"))
    assert not one.holds(tmp_path / "missing")


def test_a_stdin_that_is_no_file_is_read(
    files: ExitStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It has no number by which it could be compared."""
    stdin = SimpleNamespace(buffer=io.BytesIO(b"http://a\n"))
    monkeypatch.setattr("sys.stdin", stdin)
    one = source(files, paths=("-", listed(tmp_path / "1", "http://b")))

    assert not one.holds(tmp_path / "1" / "x")
    assert list(one.requests()) == ["http://a", "http://b"]  # type: ignore[arg-type]


async def awaited() -> Any:
    for url in ("http://b", "http://c"):
        yield url


@pytest.mark.any_loop
async def test_what_has_to_be_waited_for_is_read_as_it_comes(
    files: ExitStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """How much is left of it is not known."""
    monkeypatch.setattr(_input, "_urls_in", lambda *_: awaited())
    one = source(files, "http://a", paths=(listed(tmp_path / "1"),))
    assert one.unread().endswith("of the input was")
    found = [url async for url in one.requests()]  # type: ignore[union-attr]

    assert found == ["http://a", "http://b", "http://c"]
    assert (one.read, one.is_exhausted) == (3, True)
