"""The programs of the page about more machines, run as they are pasted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_examples import ROOT

PAGE = ROOT / "docs" / "howto" / "more-machines.md"
PROGRAMS = re.findall(r"^```\{\.python \.program\}\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
# Where nothing answers: what is on the page would be asked for on the internet.
NOWHERE = "http://127.0.0.1:9"

pytestmark = pytest.mark.extras


@pytest.mark.parametrize("program", PROGRAMS, ids=["processes", "dask", "again"])
def test_a_program_of_the_page_runs_as_it_is_pasted(tmp_path: Path, program: str) -> None:
    """With a row for each request, here all of them failures of the proxy."""
    for library in ("pyarrow", "polars", "distributed"):
        pytest.importorskip(library)
    (tmp_path / "program.py").write_text(program)
    proxies = {"HTTPS_PROXY": NOWHERE, "https_proxy": NOWHERE, "no_proxy": "", "NO_PROXY": ""}

    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={**os.environ, **proxies},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )

    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "out" / "shards").glob("0*.parquet"))
    assert "error=None" in done.stdout or "50 requests in" in done.stdout or "100" in done.stdout
