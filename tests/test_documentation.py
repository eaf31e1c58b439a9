"""The pages that name files: each file exists, so that who moves one finds where it is named."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = ("src", "tests", "conformance", "benchmarks", "fuzz", "soak")
PATH = re.compile(rf"`((?:docs|{'|'.join(FOLDERS)})/[\w./-]+)(?:::\w+)?`")
NAME = re.compile(r"`(\w+\.py)`")
IN_SOURCE = re.compile(r"`((?:_\w+|telemetry)/[\w./]+)`")


def test_each_file_that_a_page_names_exists() -> None:
    """Whether by its path from the root, or by its name alone."""
    names = {path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}

    missing = []
    for page in PAGES:
        text = page.read_text()
        wanted = {path for path in PATH.findall(text) if not (ROOT / path).exists()}
        wanted |= set(NAME.findall(text)) - names
        missing += [f"{page.relative_to(ROOT)}: {each}" for each in sorted(wanted)]

    assert missing == []


def test_the_way_of_a_newcomer_leads_somewhere() -> None:
    """`CONTRIBUTING.md` names each entry of `src/asyncbatch`, and only files that are there."""
    text, source = (ROOT / "CONTRIBUTING.md").read_text(), ROOT / "src" / "asyncbatch"
    entries = {path.stem for path in source.iterdir() if path.suffix in ("", ".py")}

    unnamed = [entry for entry in entries - {"__pycache__"} if f"`{entry}`" not in text]
    missing = [path for path in IN_SOURCE.findall(text) if not (source / path).exists()]

    assert (unnamed, missing) == ([], [])
