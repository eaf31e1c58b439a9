"""
The kind of file system that a journal is on.

SQLite's write-ahead log needs memory that all processes share. A network file system does not
provide it, so a journal there would be damaged sooner or later.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from asyncbatch._values._errors import JournalError

MOUNTS = Path("/proc/self/mountinfo")

_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\d?(?:fs)?|ncpfs?|afs|coda|9p|drvfs|ceph|lustre|gpfs|beegfs|orangefs|pvfs2|"
    r"ocfs2|gfs2?|davfs\d?|vboxsf|prl_fs|acfs|"
    r"fuse\.(?:sshfs|s3fs|rclone|gcsfuse|glusterfs|ceph.*|davfs.*|juicefs|goofys|blobfuse\d?|smb.*)"
)
# In mountinfo, blanks and the like are written as three octal digits.
_ESCAPED = re.compile(r"\\([0-7]{3})")


def refuse_network(path: Path, shown: str) -> None:
    """
    Raise if a path lies on a network file system.

    Raises:
        JournalError: Names the file system.
    """
    kind = kind_of(path)
    if kind is not None and _NETWORK.fullmatch(kind):
        raise JournalError(
            shown, f"a journal cannot lie on a network file system ({kind}); give a local path"
        )


def kind_of(path: Path) -> str | None:
    """Return the type of the file system of a path, such as "ext4"; `None` if it is unknown."""
    text = str(path)
    if os.name == "nt" and text.startswith(("\\\\", "//")):
        return "smb"
    try:
        lines = MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    found: tuple[int, str | None] = (-1, None)
    for line in lines:
        before, dash, after = line.partition(" - ")
        fields = before.split(" ")
        if not dash or len(fields) < 5:
            continue
        point = _ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4])
        inside = text == point or text.startswith(point.rstrip("/") + "/")
        # A later mount at the same point covers the earlier one.
        if inside and len(point) >= found[0]:
            found = len(point), after.split(" ", 1)[0]
    return found[1]
