"""
Bodies that go to files: their names, how they are continued, and how they reach the disk.

`_names`, `_content_disposition`, `_versions` and `_continuation` are pure: strings and numbers in,
strings and decisions out, without a file, a clock or a socket.
"""

from __future__ import annotations

from ._download import AT_ONCE, IDENTITY, Download
from ._files import Files
from ._target import has_checksum, look_for

__all__ = ["AT_ONCE", "IDENTITY", "Download", "Files", "has_checksum", "look_for"]
