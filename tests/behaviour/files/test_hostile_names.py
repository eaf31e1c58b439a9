"""Files whose names come from servers and URLs: where they are, and that nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from asyncbatch import Fetcher, Folder, Request
from tests.behaviour.files.test_lying_servers import names_in
from tests.raw_server import Peer, serve

pytestmark = pytest.mark.any_loop

# Each by itself in a folder: the value of the field, and the file.
DISPOSITIONS: list[tuple[bytes, str]] = [
    (b'attachment; filename="plain.txt"', "plain.txt"),
    (b'attachment; filename="../up.txt"', "up.txt"),
    (b'attachment; filename="../../../../../../etc/passwd"', "passwd"),
    (b'attachment; filename="/etc/cron.d/x"', "x"),
    (b'attachment; filename="..\\\\..\\\\w.txt"', "w.txt"),
    (b'attachment; filename="C:\\windows\\s.ini"', "s.ini"),
    (b'attachment; filename="\\\\\\\\server\\\\share\\\\y.txt"', "y.txt"),
    (b"attachment; filename*=UTF-8''%2e%2e%2f%2e%2e%2fz.txt", "z.txt"),
    (b"attachment; filename*=UTF-8''%2Fetc%2Fshadow", "shadow"),
    (b"attachment; filename*=UTF-8''a%00b.txt", "a_b.txt"),
    (b"attachment; filename*=UTF-8''a%0d%0ab.txt", "a__b.txt"),
    (b"attachment; filename*=UTF-8''%e2%80%aegpj.exe", "gpj.exe"),
    (b"attachment; filename*=UTF-8''..%ef%bc%8fq", "_q"),
    (b'attachment; filename=".bashrc"', "bashrc"),
    (b'attachment; filename=".."', "7"),
    (b'attachment; filename="."', "7"),
    (b'attachment; filename="/"', "7"),
    (b'attachment; filename=""', "7"),
    (b"attachment", "7"),
    (b'attachment; filename="CON"', "_CON"),
    (b'attachment; filename="aux.txt"', "_aux.txt"),
    (b"attachment; filename*=UTF-8''COM%c2%b9.txt", "_COM¹.txt"),
    (b'attachment; filename="x.txt:stream"', "x.txt_stream"),
    (b'attachment; filename="x.txt. . "', "x.txt"),
    (b'attachment; filename="x.part"', "x_part"),
    (b'attachment; filename=".x.resume"', "x.resume"),
    (b'attachment; filename="' + b"n" * 300 + b'.pdf"', "n" * 242 + ".pdf"),
    (b"attachment; filename*=UTF-8''" + b"%e2%82%ac" * 100 + b".pdf", "€" * 80 + ".pdf"),
    (b'attachment; filename="na\xefve.txt"', "naïve.txt"),
    (b'attachment; filename="na\xc3\xafve.txt"', "naïve.txt"),
    (b"attachment; filename*=UTF-8''cafe%cc%81", "café"),
]


@pytest.mark.parametrize("at", range(len(DISPOSITIONS)))
async def test_a_server_names_a_file_in_the_folder_only(at: int, tmp_path: Path) -> None:
    """Whatever it says, there is one file, in the folder, under a safe name."""
    value, name = DISPOSITIONS[at]

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Disposition: " + value + b"\r\n\r\nok"
        )

    folder = tmp_path / "a" / "folder"
    async with serve(script) as server, Fetcher(to=Folder(folder, name="disposition")) as fetcher:
        result = await fetcher.fetch(f"{server.url}dir/7")

    assert result.path == folder / name
    assert names_in(folder) == {name}
    assert names_in(tmp_path) == {"a"}
    assert names_in(tmp_path / "a") == {"folder"}


async def answer_with_target(peer: Peer) -> None:
    """Answer each request with its target."""
    while True:
        target = (await peer.read_request()).split()[1]
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(target) + target)


PATHS = {
    "a.txt": "a.txt",
    "x/%2e%2e%2f%2e%2e%2fb.txt": "b.txt",
    "x/..%5c..%5cc.txt": "c.txt",
    "%2fetc%2fd": "d",
    "C%3a%5ce": "e",
    "f%00g": "f_g",
    "%2e%2e": "download",
    ".hidden": "hidden",
    "nul.txt": "_nul.txt",
    "COM%C2%B3": "_COM³",
    "%E2%80%AEh": "h",
    "i.part": "i_part",
    "j.txt.%20.": "j.txt",
    "k%3Astream": "k_stream",
    "%252e%252e%252fl": "%2e%2e%2fl",
    "m" * 300 + ".zip": "m" * 242 + ".zip",
    "%FFn": "ÿn",
    "o?../../p": "o",
}


async def test_urls_name_files_in_the_folder_only(tmp_path: Path) -> None:
    """Each of a batch has its own, with its own bytes."""
    folder = tmp_path / "folder"
    async with serve(answer_with_target) as server, Fetcher(to=folder) as fetcher:
        results = await fetcher.fetch_many([server.url + path for path in PATHS])

    assert [result.path for result in results] == [folder / name for name in PATHS.values()]
    assert names_in(folder) == set(PATHS.values())
    assert names_in(tmp_path) == {"folder"}
    for result in results:
        assert result.path.read_bytes() == httpx.URL(result.request.url).raw_path


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a/Name.txt", "b/name.TXT"),
        ("a/x", "b/x"),
        ("a/caf%C3%A9", "b/cafe%CC%81"),
        ("a/stra%C3%9Fe", "b/STRASSE"),
        ("a/con", "b/_CON"),
        ("a/", "b/"),
        ("a/x%00", "b/x_"),
        ("a/p.part", "b/p_part"),
    ],
)
async def test_the_second_of_two_requests_with_one_target_fails_before_it_is_sent(
    one: str, other: str, tmp_path: Path
) -> None:
    """On each file system, whether or not it tells the two names apart."""
    async with serve(answer_with_target) as server, Fetcher(to=tmp_path) as fetcher:
        first, second = await fetcher.fetch_many([server.url + one, server.url + other])

    assert first.ok
    assert second.kind == "invalid_request"
    assert len(server.requests) == 1
    assert names_in(tmp_path) == {first.path.name}


async def test_the_second_of_two_responses_with_one_name_makes_no_file(tmp_path: Path) -> None:
    """The names are known with the heads; what there is of the second is gone."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.send(
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                b'Content-Disposition: attachment; filename="Same.txt"\r\n\r\nok'
            )

    to = Folder(tmp_path, name="disposition")
    async with serve(script) as server, Fetcher(to=to, concurrency=1) as fetcher:
        results = await fetcher.fetch_many([f"{server.url}{at}" for at in range(3)])

    assert [result.kind for result in results] == [None, "invalid_request", "invalid_request"]
    assert names_in(tmp_path) == {"Same.txt"}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("../../up.txt", "up.txt"),
        ("/etc/passwd", "passwd"),
        ("", "download"),
        ("..", "download"),
        ("CON", "_CON"),
        ("a\x00b", "a_b"),
        ("sub/x.txt", "x.txt"),
    ],
)
async def test_a_function_names_a_file_in_the_folder_only(
    given: str, name: str, tmp_path: Path
) -> None:
    """It may pass on what a server has said."""
    seen: list[tuple[object, object]] = []

    def name_it(request: Request, response: httpx.Response) -> str:
        seen.append((request, response))
        return given

    folder = tmp_path / "folder"
    naming: Callable[[Request, httpx.Response], str] = name_it
    to = Folder(folder, name=naming)
    async with serve(answer_with_target) as server, Fetcher(to=to) as fetcher:
        result = await fetcher.fetch(f"{server.url}x")

    assert result.path == folder / name
    assert names_in(tmp_path) == {"folder"}
    assert isinstance(seen[0][0], Request)
    assert isinstance(seen[0][1], httpx.Response)
