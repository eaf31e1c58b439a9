"""The public surface: which names there are, that each is documented, and what importing costs."""

from __future__ import annotations

import importlib.metadata
import inspect
import pickle
import re
import subprocess
import sys
import types
import typing
from pathlib import Path

import pytest

import asyncbatch
import asyncbatch.arrow
import asyncbatch.cluster
import asyncbatch.report
import asyncbatch.telemetry
import asyncbatch.testing

# The names that users may rely on. A name that is added here needs a line in the changelog; one
# that is taken away breaks somebody's program.
PUBLIC = """
    fetch_many   fetch_many_sync   Fetcher   SyncFetcher   Statistics
    Request      Result            Success   Failure       FailureKind
    Results      Summary           Quantiles
    ResultStream SyncResultStream
    Timing       Attempt           FetcherOptions
    RequestLike  Requests          __version__
    Retry        Rate              HostLimits HostStatistics    Progress
    ProxyPool    Folder  FileProgress            Journal    JournalReader
    HTTPTransport                  is_public
    AddressBlocked
    AttemptTimeout     BodyConsumed   BodyTooLarge   DNSError           DeadlineExceeded
    ChecksumMismatch   FetcherClosed
    HostDown           HostPaused     NotStarted     ProxyError         RetryAfterTooLong  TLSError
    TooSlow            TruncatedBody
    InDoubt   JournalError   JournalChanged   JournalFull   JournalInUse   NotAJournal
"""

TESTING = """
    LoopbackServer  ServerStatistics  RecordedRequest
    Answer  Behaviour  End  Raw  Reply  echo
    FaultTransport  Fault  FakeClock
    success  failure
"""

ARROW = """
    fetch_batches  fetched_schema  schema  table
"""

CLUSTER = """
    plan  Plan  Shard  HostLoad  Estimate
    fetch_sharded  run_shard  ShardTask  ShardReport  HostFigures  RayExecutor
    open_dataset  Dataset
"""

REPORT = """
    Report  to_har
"""

PUBLIC_MODULES = [
    asyncbatch,
    asyncbatch.arrow,
    asyncbatch.cluster,
    asyncbatch.report,
    asyncbatch.telemetry,
    asyncbatch.testing,
]

# Not needed by a plain batch: whoever imports asyncbatch does not wait for them.
# (httpx itself loads brotli and zstandard where they are installed.)
OPTIONAL_LIBRARIES = {"httpx2", "opentelemetry", "rich", "tqdm", "trio", "uvloop"}

# What a request and its result are made of. Each module more is time that every program waits for.
VALUES = {"_values"} | {
    f"_values.{inner}"
    for inner in (
        *("_body_source", "_checks", "_errors", "_folder", "_pickling", "_redaction", "_request"),
        *("_result", "_retry", "_retry_policy", "_text", "_timing"),
    )
}

MOST_EXPRESSIONS = 3
"""Regular expressions that are compiled at import; one took up to 2 ms of the 126 of httpx."""

WHAT_SENDS = {"anyio", "asyncio", "httpcore"} | {
    f"asyncbatch.{inner}"
    for inner in ("_api", "_batch", "_engine", "_lanes", "_results", "_schedule")
}

ROOT = Path(__file__).parents[1]


def documented(module: types.ModuleType) -> list[str]:
    """Return the names of a module that carry a docstring of their own; aliases have none."""
    return [
        name
        for name in module.__all__
        if isinstance(getattr(module, name), type | types.FunctionType)
    ]


def test_asyncbatch_exports_the_public_names_and_no_others() -> None:
    """`asyncbatch.__all__` is the pinned list."""
    assert sorted(asyncbatch.__all__) == sorted(PUBLIC.split())


def test_testing_exports_the_public_names_and_no_others() -> None:
    """`asyncbatch.testing.__all__` is the pinned list."""
    assert sorted(asyncbatch.testing.__all__) == sorted(TESTING.split())


def test_telemetry_exports_the_public_name_and_no_other() -> None:
    """`asyncbatch.telemetry.__all__` is the pinned list."""
    assert asyncbatch.telemetry.__all__ == ["OpenTelemetry"]


def test_arrow_exports_the_public_names_and_no_others() -> None:
    """`asyncbatch.arrow.__all__` is the pinned list."""
    assert sorted(asyncbatch.arrow.__all__) == sorted(ARROW.split())


def test_cluster_exports_the_public_names_and_no_others() -> None:
    """`asyncbatch.cluster.__all__` is the pinned list."""
    assert sorted(asyncbatch.cluster.__all__) == sorted(CLUSTER.split())


def test_report_exports_the_public_names_and_no_others() -> None:
    """`asyncbatch.report.__all__` is the pinned list."""
    assert sorted(asyncbatch.report.__all__) == sorted(REPORT.split())


@pytest.mark.parametrize("module", PUBLIC_MODULES, ids=lambda m: m.__name__)
def test_a_star_import_gives_what_a_module_exports(module: types.ModuleType) -> None:
    """Each exported name exists, and no public name of a module but its own is left out."""
    names = {name for name in vars(module) if not name.startswith("_")}
    names -= {name for name, value in vars(module).items() if inspect.ismodule(value)}

    assert names - {"annotations"} == set(module.__all__) - {"__version__"}


@pytest.mark.parametrize(
    ("module", "name"),
    [
        pytest.param(module, name, id=f"{module.__name__}.{name}")
        for module in PUBLIC_MODULES
        for name in documented(module)
    ],
)
def test_a_public_name_is_documented(module: types.ModuleType, name: str) -> None:
    """A public class or function has a docstring, and so has each of its public members."""
    documented = getattr(module, name)

    assert documented.__doc__
    for member, value in vars(documented).items():
        if not member.startswith("_") and isinstance(value, types.FunctionType | property):
            assert value.__doc__, f"{name}.{member} has no docstring"


@pytest.mark.parametrize("name", asyncbatch.__all__)
def test_a_public_name_is_in_the_reference(name: str) -> None:
    """Each public name has its place on a page of the reference."""
    pages = "".join(page.read_text() for page in (ROOT / "docs" / "reference").glob("*.md"))

    assert re.search(rf"^::: asyncbatch\.{name}$", pages, re.MULTILINE)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        pytest.param(module, name, id=f"{module.__name__}.{name}")
        for module in PUBLIC_MODULES
        for name in documented(module)
    ],
)
def test_a_public_name_says_that_it_is_public(module: types.ModuleType, name: str) -> None:
    """It is found under the module that it names, and what it is annotated with is found too."""
    public = getattr(module, name)

    assert (public.__module__, public.__qualname__) == (module.__name__, name)
    assert pickle.loads(pickle.dumps(public)) is public
    typing.get_type_hints(public)
    members = vars(public).items() if isinstance(public, type) else ()
    for member_name, member in members:
        function = getattr(member, "__func__", member)
        # attrs gives all classes one `__replace__`, with the module of the class made last.
        if isinstance(function, types.FunctionType) and member_name != "__replace__":
            assert not function.__module__.startswith("asyncbatch._")


def test_the_version_is_that_of_the_distribution() -> None:
    """It is written down once."""
    assert asyncbatch.__version__ == importlib.metadata.version("asyncbatch")


def test_the_version_loads_nothing_else() -> None:
    """It is asked for by programs that send nothing, and is then there as any other name."""
    before = loaded_by("import asyncbatch")
    loaded = loaded_by("import asyncbatch; asyncbatch.__version__; vars(asyncbatch)['__version__']")

    assert loaded - before == {"asyncbatch._values._version"}


def test_importing_needs_no_optional_library() -> None:
    """`import asyncbatch` loads nothing that only some of its users need."""
    # httpx loads its own command line, and rich with it, where click is installed.
    loaded = loaded_by("import asyncbatch; asyncbatch.Fetcher")

    assert {name.partition(".")[0] for name in loaded} & OPTIONAL_LIBRARIES == set()


def test_importing_loads_no_public_submodule() -> None:
    """Nor what they are made of: few programs write a report, or run on several machines."""
    loaded = loaded_by("import asyncbatch; asyncbatch.Fetcher")
    submodules = {module.__name__ for module in PUBLIC_MODULES} - {"asyncbatch"}

    assert loaded & submodules == set()
    assert not [name for name in loaded if name.startswith("asyncbatch._results.report")]


def test_whoever_sends_nothing_does_not_wait_for_what_sends() -> None:
    """Requests and single results are there at once, without an event loop or the engine."""
    loaded = loaded_by("from asyncbatch import Request, Retry, Success")

    ours = {name.removeprefix("asyncbatch.") for name in loaded if name[:11] == "asyncbatch."}
    assert loaded & WHAT_SENDS == set()
    assert ours == VALUES
    assert "pickle" not in loaded - loaded_by("import httpx")


def test_an_import_compiles_few_expressions() -> None:
    """Those that only some programs need are compiled when they are needed."""
    counted = "import re, attrs, httpx; compile, re.compile = re.compile, lambda *given: "
    counted += "compiled.append(given) or compile(*given); compiled = []; import asyncbatch; "
    loaded_by(f"{counted}len(compiled) <= {MOST_EXPRESSIONS} or 1/0; assert compiled")


def test_what_sends_is_loaded_when_it_is_asked_for() -> None:
    """However it is asked for; what there is not, is not found."""
    ask = "asyncbatch.Fetcher; fetch_many; Rate(1); asyncbatch.Fetcher is Fetcher or 1/0"
    names = "Fetcher, Rate, Results, fetch_many"

    for importing in (f"from asyncbatch import {names}", "from asyncbatch import *"):
        assert loaded_by(f"import asyncbatch; {importing}; {ask}") >= WHAT_SENDS - {"httpcore"}
    assert loaded_by("import asyncbatch; set(asyncbatch.__all__) <= set(dir(asyncbatch)) or 1/0")
    assert not hasattr(asyncbatch, "fetch_most")


def loaded_by(code: str) -> set[str]:
    """Return the modules that a program has loaded at its end."""
    # httpx loads its command, and with it rich, where that is installed.
    code = f"import sys; sys.modules['click'] = None; {code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())
