"""
The examples of `README.md` and `docs/`, run as they stand there.

The blocks of a page run one after the other and share their names. `await` may stand outside a
function, as in a notebook; one loop serves the whole page. What lies under `example.org` and
`example.com` is answered here, without a network: `/status/404` with that status, anything else
with 200 and a small JSON object. A server on loopback is asked for real.

A page with `<!--- extras -->` needs large libraries, and runs with the tests that are so marked.
`<!--- skip: next -->` before a block leaves it out, for code of another library, and
`<!--- invisible-code-block: python` begins a block that readers do not see.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

# The first transport for a library imports its httpcore, which reads files.
import httpcore2  # noqa: F401
import httpx
import httpx2
import pytest
from sybil.document import Document
from sybil.parsers.markdown import CodeBlockParser, SkipParser

if TYPE_CHECKING:
    from collections.abc import Callable

    from sybil.example import Example

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("README.md"), *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^ *(?:```+ *py|<!--- invisible-code-block: py)", re.MULTILINE)
EXTRAS = "<!--- extras -->"


def is_invented(host: str) -> bool:
    """Is this one of the hosts that stand for any site in an example?"""
    return re.search(r"(^|\.)example\.(org|com)$", host) is not None


def answer(request: Any, library: Any) -> Any:
    """Answer for an invented host."""
    status = re.fullmatch(r"/status/(\d{3})", request.url.path)
    found = {"url": str(request.url), "method": request.method}
    return library.Response(int(status[1]) if status else 200, json=found)


@pytest.fixture
def invented_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer for the invented hosts in place of the libraries, and leave the others to them."""
    for library in (httpx, httpx2):
        monkeypatch.setattr(library.AsyncHTTPTransport, "handle_async_request", handle_for(library))


def handle_for(library: Any) -> Any:
    """Return what takes the place of the method of a library's transport."""
    send = library.AsyncHTTPTransport.handle_async_request

    async def handle(transport: Any, request: Any) -> Any:
        if not is_invented(request.url.host):
            return await send(transport, request)
        await request.aread()
        return answer(request, library)

    return handle


def runner_of(loop: asyncio.Runner) -> Callable[[Example], None]:
    """Return what runs one block, in `loop` if it awaits something."""

    def run(example: Example) -> None:
        # So many empty lines that a traceback shows the line of the page.
        source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(source, example.path, "exec", flags, dont_inherit=True)
        outcome = eval(code, example.namespace)
        if inspect.iscoroutine(outcome):
            loop.run(outcome)

    return run


@pytest.mark.usefixtures("invented_hosts")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            page,
            id=str(page.relative_to(ROOT)),
            marks=pytest.mark.extras if EXTRAS in page.read_text() else pytest.mark.once,
        )
        for page in PAGES
        if BLOCK.search(page.read_text())
    ],
)
def test_the_examples_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each block of Python on a page runs, in a directory of its own."""
    if EXTRAS in page.read_text():
        for library in ("pandas", "polars", "pyarrow", "duckdb", "dask.dataframe"):
            pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    with asyncio.Runner() as loop:
        run = runner_of(loop)
        blocks = CodeBlockParser(language="python", evaluator=run)
        document = Document.parse(str(page), blocks, SkipParser())
        document.namespace["__name__"] = "__main__"
        examples = list(document.examples())

        for example in examples:
            example.evaluate()

    # A fence with anything behind its language would be passed over in silence.
    found = [example for example in examples if example.region.evaluator is run]
    assert len(found) == len(BLOCK.findall(page.read_text()))


def test_no_line_of_an_example_is_too_long_for_the_site() -> None:
    """Beside both menus of the site there is room for 88 columns."""
    fences = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
    too_long = [
        line
        for page in PAGES
        for block in fences.findall(page.read_text())
        for line in block.splitlines()
        if len(line) > 88
    ]

    assert too_long == []


def test_the_first_program_of_the_readme_runs_as_it_is_pasted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], invented_hosts: None
) -> None:
    """Nothing has to be added to see something; and as it stands its types are checked."""
    program = re.search(r"^```python\n(.*?)^```$", PAGES[0].read_text(), re.DOTALL | re.MULTILINE)
    assert program is not None

    exec(compile(program[1], "README.md", "exec", dont_inherit=True), {"__name__": "__main__"})

    assert capsys.readouterr().out.count("\n200 https://example.") == 2  # and the first line
    assert program[1] == (ROOT / "tests" / "typing" / "readme.py").read_text()
