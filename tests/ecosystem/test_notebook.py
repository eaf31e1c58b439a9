"""The analyst: URLs, a data frame and a plot in twelve lines of a real notebook."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from asyncbatch.testing import LoopbackServer, Reply

pytestmark = pytest.mark.extras

CELLS = [
    """
import asyncbatch

urls = [f"{site}/{number}" for number in range(500)]
results = await asyncbatch.fetch_many(urls, retry=None)
results
""",
    """
frame = results.to_pandas()[["url", "status", "elapsed", "error"]]
frame.head()
""",
    """
print((frame["status"] == 200).sum(), frame["error"].notna().sum())
(frame["elapsed"] * 1000).plot.hist(bins=40, title="ms", xlabel="ms")
""",
]

# In a process of its own: a kernel needs sockets and threads, which it leaves to its client.
PROGRAM = """
import json, sys
import nbclient, nbformat
cells = [nbformat.v4.new_code_cell(source) for source in json.load(sys.stdin)]
notebook = nbformat.v4.new_notebook(cells=cells)
nbclient.NotebookClient(notebook, timeout=120).execute()
json.dump([cell["outputs"] for cell in notebook.cells], sys.stdout)
"""


def test_five_hundred_urls_become_a_frame_and_a_plot() -> None:
    """In twelve lines; with a request that fails among them, which has its error in its row."""
    for library in ("nbclient", "ipykernel", "pandas", "pyarrow", "matplotlib"):
        pytest.importorskip(library)
    assert sum(bool(line) for cell in CELLS for line in cell.splitlines()) <= 12

    with LoopbackServer(default=Reply(body="x")).in_thread() as server:
        server.on("/7", Reply(404))
        cells = [f"site = {server.url('/').rstrip('/')!r}", *CELLS]
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            input=json.dumps(cells),
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    _, fetched, head, plot = json.loads(done.stdout)
    assert fetched[-1]["output_type"] == "execute_result"
    assert "<table" in head[0]["data"]["text/html"]
    assert plot[0]["text"] == "499 1\n"
    assert any("image/png" in each.get("data", {}) for each in plot)
