"""On which kind of file system a journal lies, by a list of mounts that is made up."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import pytest

from asyncbatch import JournalError
from asyncbatch._journal import _filesystem
from asyncbatch._journal._filesystem import kind_of, refuse_network

MOUNTS = r"""
22 1 252:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /home rw,relatime - nfs4 server:/home rw
24 23 0:22 / /home/me/local rw - xfs /dev/vdb rw
25 22 0:23 / /mnt/with\040blank rw - cifs //server/share rw
26 22 0:24 / /tmp rw master:5 - tmpfs tmpfs rw
27 22 0:25 / /ssh rw - fuse.sshfs me@host: rw
28 22 0:26 / /over rw - nfs server:/x rw
29 28 0:27 / /over rw - ext4 /dev/vdc rw
30 22 0:28 / /containers rw - overlay overlay rw
broken line
"""


@pytest.fixture(autouse=True)
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the list up."""
    (tmp_path / "mountinfo").write_text(MOUNTS)
    monkeypatch.setattr(_filesystem, "MOUNTS", tmp_path / "mountinfo")


@pytest.mark.parametrize(
    ("path", "kind", "is_network"),
    [
        ("/run.db", "ext4", False),
        ("/homes/run.db", "ext4", False),
        ("/home/run.db", "nfs4", True),
        ("/home/me/run.db", "nfs4", True),
        ("/home/me/local/run.db", "xfs", False),
        ("/mnt/with blank/run.db", "cifs", True),
        ("/tmp/a/run.db", "tmpfs", False),
        ("/ssh/run.db", "fuse.sshfs", True),
        ("/over/run.db", "ext4", False),
        ("/containers/run.db", "overlay", False),
    ],
)
def test_a_network_file_system_is_refused(path: str, kind: str, is_network: bool) -> None:
    """By the mount that the path is below; the error names the file and the file system."""
    assert kind_of(Path(path)) == kind
    if not is_network:
        refuse_network(Path(path), path)
        return
    with pytest.raises(JournalError, match=rf"^{path}: .*network file system \({kind}\)"):
        refuse_network(Path(path), path)


def test_an_unknown_file_system_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no list of mounts."""
    monkeypatch.setattr(_filesystem, "MOUNTS", tmp_path / "missing")

    assert kind_of(Path("/home/run.db")) is None
    refuse_network(Path("/home/run.db"), "run.db")


@pytest.mark.parametrize(
    ("path", "kind"), [(r"\\server\share\run.db", "smb"), (r"C:\folder\run.db", None)]
)
def test_a_path_of_a_server_is_on_a_network_on_windows(
    monkeypatch: pytest.MonkeyPatch, path: str, kind: str | None
) -> None:
    """The path says so; there is no list of mounts, unlike here."""
    monkeypatch.setattr(_filesystem, "os", SimpleNamespace(name="nt"))

    assert kind_of(PureWindowsPath(path)) == kind  # type: ignore[arg-type]  # as there
