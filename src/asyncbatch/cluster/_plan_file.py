"""
The file of a plan: it marks a folder as a data set, and lists its shards.

It is written once, when all requests are on disk, and never changed.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from ._layout import Layout

VERSION = 2

FIELDS = {"version", "plan_id", "secret", "notes", "options", "tag_type", "shards"}


def plan_text(**fields: Any) -> str:
    """Return what `read_plan` reads; `shards` are the number of requests and the rest of each."""
    found = {"version": VERSION, **fields}
    assert found.keys() == FIELDS
    return json.dumps(found)


def read_plan(folder: Path) -> dict[str, Any]:
    """
    Return the plan of a data set.

    Raises:
        ValueError: If it is damaged, or of another release.
    """
    path = Layout(folder).plan
    found: dict[str, Any] = {}
    version: object = None
    is_whole = False
    with contextlib.suppress(ValueError, TypeError, KeyError):
        found = json.loads(path.read_text())
        version = found["version"]
        is_whole = version != VERSION or found.keys() >= FIELDS
    if not is_whole:
        raise ValueError(
            f"{path} is damaged, or no plan of asyncbatch.cluster; give another folder, and the "
            "requests are fetched from the start"
        )
    if version != VERSION:
        raise ValueError(
            f"{folder} was made by another release of asyncbatch (version {version!r} of the "
            f"folder, not {VERSION}); give another folder, or go on with that release"
        )
    return found
