"""
The project's chores, each in an environment of its own: `nox -s NAME`, and `nox -l` lists them.

Dependency groups are read here and handed to pip as plain requirements, because the pip of a
three-year-old distribution does not know groups.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["tests", "once", "extras", "others", "types", "lint", "docs"]
nox.options.reuse_venv = "yes"
# nox takes a missing Python for an error where CI is set.
nox.options.error_on_missing_interpreters = False

PROJECT = nox.project.load_toml("pyproject.toml")
SUPPORTED = ["3.11", "3.12", "3.13", "3.14", "3.15"]
AT_HAND = ".".join(map(str, sys.version_info[:2]))
# Three on two cores: some of the tests wait.
AT_ONCE = ["-n", "3", "--dist", "worksteal"]


def candidates(version: str) -> Iterator[str]:
    """Yield what may be the interpreter of a version, the one that nox would take first."""
    name = f"python{version}"
    for folder in os.get_exec_path():
        if found := shutil.which(name, path=folder):
            yield found
    # The shim of a version that pyenv has, but has not switched on, is there and does not run.
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(map(str, pyenv.glob(f"versions/{version}.*/bin/{name}")), reverse=True)
    # nox may itself run on a Python that is not on the path.
    if version == AT_HAND:
        yield getattr(sys, "_base_executable", sys.executable)


def works(interpreter: str) -> bool:
    """Can this interpreter run, and has it what a test needs?"""
    try:
        subprocess.run([interpreter, "-c", "import ssl, zlib"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def installed(version: str) -> bool:
    """Find the interpreter of a version, and put it where nox looks."""
    for interpreter in candidates(version):
        if works(interpreter):
            if shutil.which(f"python{version}") != interpreter:
                folder = str(Path(interpreter).parent)
                os.environ["PATH"] = os.pathsep.join([folder, os.environ["PATH"]])
            return True
    return False


# What servers send is the same on each Python: one of them plays the long tables (`once`).
EVERYWHERE = "not slow and not once and not extras"

PYTHONS = [version for version in SUPPORTED if installed(version)]
OTHERS = [version for version in PYTHONS if version != AT_HAND]


def group(name: str) -> tuple[str, ...]:
    """Return the requirements of a dependency group."""
    return nox.project.dependency_groups(PROJECT, name)


def lowest_versions() -> Iterator[str]:
    """Yield each declared dependency, those of the extras too, at its lower bound."""
    project = PROJECT["project"]
    extras = project["optional-dependencies"].values()
    for declared in itertools.chain(project["dependencies"], *extras):
        requirement = Requirement(declared)
        for bound in requirement.specifier:
            if bound.operator == ">=":
                yield f"{requirement.name}=={bound.version}"


def install_for_tests(session: nox.Session, *requirements: str) -> None:
    """
    Install what a run of tests needs, and let each module be compiled once.

    Whatever the environment says, the bytecode is kept, because the tests start many processes;
    the tests' own is the same in all sessions on one Python. Much of what pip would compile is
    never imported.
    """
    session.install("--no-compile", *requirements)
    # Their temporary folder.
    session.create_tmp()
    session.env["PYTHONDONTWRITEBYTECODE"] = ""
    session.env["PYTHONPYCACHEPREFIX"] = str(Path(session.cache_dir, "bytecode").absolute())


@nox.session
def tests(session: nox.Session) -> None:
    """Run the suite on the Python that runs nox; arguments go to pytest."""
    install_for_tests(session, "-e", ".", *group("test"))
    session.run("pytest", *(session.posargs or [*AT_ONCE, "-m", EVERYWHERE]))


@nox.session
def once(session: nox.Session) -> None:
    """Run the tests that take long, and tell the same on each Python; arguments go to pytest."""
    install_for_tests(session, "-e", ".", *group("test"))
    session.run("pytest", *(session.posargs or [*AT_ONCE, "-m", "once and not slow"]))


@nox.session
def extras(session: nox.Session) -> None:
    """Run the tests that need large libraries, such as pyarrow; arguments go to pytest."""
    install_for_tests(session, "-e", ".", *group("extras"))
    session.run("pytest", *(session.posargs or [*AT_ONCE, "-m", "extras and not slow"]))


@nox.session
def ray(session: nox.Session) -> None:
    """Run the tests that need Ray, which is larger than all the rest; arguments go to pytest."""
    install_for_tests(session, "-e", ".[ray]", *group("test"))
    which = ["tests/behaviour/cluster/test_engines.py", "-k", "ray", "-m", "extras"]
    # Ray puts sockets there: it waits for ever if their paths are longer than the system allows.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        session.env["RAY_TMPDIR"] = folder
        session.run("pytest", *(session.posargs or which))


@nox.session(python=OTHERS or False)
def others(session: nox.Session) -> None:
    """Run the suite on each other Python that is installed; arguments go to pytest."""
    if not OTHERS:
        session.skip("no other Python is installed")
    install_for_tests(session, "-e", ".", *group("test"))
    session.run("pytest", *(session.posargs or [*AT_ONCE, "-m", EVERYWHERE]))


@nox.session
@nox.parametrize("machine", ["macos", "windows"], ids=["macos", "windows"])
def portable(session: nox.Session, machine: str) -> None:
    """Run the suite with what macOS and Windows have in place of an epoll; see tests/machines.py.

    `portable(windows)` is one of them; arguments go to pytest.
    """
    install_for_tests(session, "-e", ".", *group("test"))
    arguments = session.posargs or [*AT_ONCE, "-m", EVERYWHERE]
    session.run("pytest", f"--sockets-of={machine}", *arguments)


@nox.session(python="3.14t")
def free_threaded(session: nox.Session) -> None:
    """Run the suite on a free-threaded Python, without the GIL; arguments go to pytest.

    Some extensions of the tests would turn it on. Warnings filters are those of the whole process,
    as elsewhere: some tests wait for a warning of another thread.
    """
    install_for_tests(session, "-e", ".", *group("test"))
    session.env["PYTHON_GIL"] = "0"
    session.env["PYTHON_CONTEXT_AWARE_WARNINGS"] = "0"
    session.run("pytest", *(session.posargs or [*AT_ONCE, "-m", EVERYWHERE]))


@nox.session(python=PYTHONS[:1] or None)
def lowest(session: nox.Session) -> None:
    """Run the suite at the lowest declared versions of what users install, on the oldest Python."""
    bounds = Path(session.create_tmp(), "bounds.txt")
    bounds.write_text("\n".join(lowest_versions()))
    extras = ",".join(PROJECT["project"]["optional-dependencies"])
    # The tests' own tools may be as new as they are: users do not install them.
    session.install("-e", f".[{extras}]", *group("test"), "--constraint", str(bounds))
    session.run("pip", "list")
    session.run("pytest", *(session.posargs or AT_ONCE))


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure which branches of `src` the suite reaches, and fail below what it did so far."""
    install_for_tests(session, "-e", ".", *group("coverage"))
    # Each process writes a file of its own beside this one.
    session.env["COVERAGE_FILE"] = str(Path(session.create_tmp(), "coverage"))
    session.run("coverage", "erase")
    which = session.posargs or [*AT_ONCE, "-m", "not slow"]
    # What a failing test has reached is reached: the figures come all the same.
    measured = ("coverage", "run", "-m", "pytest", "-p", "tests.keep_tracing", *which)
    session.run(*measured, success_codes=[0, 1])
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", *(["--fail-under=0"] if session.posargs else []))


@nox.session
def types(session: nox.Session) -> None:
    """Check the types with mypy and pyright, and that no public name lacks them."""
    # Not editable: pyright looks for the public names of what is installed.
    session.install(".", *group("types"))
    session.run("mypy")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "asyncbatch", "--ignoreexternal")


@nox.session
def lint(session: nox.Session) -> None:
    """Check the rules and the format of the code."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation, with warnings as errors and without a network."""
    # With the package: the defaults of its options are shown as Python shows them.
    session.install(".", *group("docs"))
    session.env["NO_MKDOCS_2_WARNING"] = "1"
    session.run("mkdocs", "build", "--strict", "--site-dir", session.create_tmp())


@nox.session
def demo(session: nox.Session) -> None:
    """Fetch from a server of our own that behaves badly, and show what comes out."""
    session.install(".")
    session.run("python", "-m", "asyncbatch")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure speed and memory against peers; arguments: `--quick`, `--million`, `--help`."""
    session.install(".[speed,http2]", "trustme>=1.2")
    peers = Path("benchmarks/peers.txt").read_text().splitlines()
    for peer in (line for line in peers if line and not line.startswith("#")):
        # One that has no wheel for this machine is named as missing by the benchmark itself.
        session.run("python", "-m", "pip", "install", "-q", peer, success_codes=range(256))
    session.run("python", "-m", "benchmarks", "run", *session.posargs)


@nox.session
def conformance(session: nox.Session) -> None:
    """Play the table of odd, broken and hostile servers against clients; arguments: `--help`."""
    session.install(".[compression]", "trustme>=1.2")
    peers = Path("conformance/peers.txt").read_text().splitlines()
    for peer in (line for line in peers if line and not line.startswith("#")):
        # One that has no wheel for this machine is named as missing by the run itself.
        session.run("python", "-m", "pip", "install", "-q", peer, success_codes=range(256))
    session.run("python", "-m", "conformance", "run", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz the reading of responses, or `decoding`, or `http2`; the rest is libFuzzer's."""
    session.install(
        *("-e", ".[compression,http2]", "atheris>=3.0", "backports.zstd", "h11>=0.16"),
        *("h2>=4.2", "hypothesis>=6.130", "pytest>=9.0"),
    )
    target, arguments = "response", list(session.posargs)
    corpora = {
        "response": "fuzz/corpus",
        "decoding": "fuzz/corpus-decoding",
        "http2": "fuzz/corpus-http2",
    }
    if arguments and arguments[0] in corpora:
        target = arguments.pop(0)
    found = session.create_tmp()
    # Into a folder of its own: libFuzzer adds what it finds to the first folder it is given.
    options = ["-max_total_time=60", "-max_len=4096", f"-artifact_prefix={found}/"]
    seeds = [found, corpora[target]]
    inputs = [] if any(Path(argument).is_file() for argument in arguments) else seeds
    dictionary = ["-dict=fuzz/http.dict"] if target == "response" else []
    command = ["python", "-m", f"fuzz.fuzz_{target}", *dictionary]
    session.run(*command, *options, *arguments, *inputs)


@nox.session
def chaos(session: nox.Session) -> None:
    """Send tens of thousands of requests to hosts that fail in every way; arguments go to pytest.

    `CHAOS_SEED` repeats a run, `CHAOS_REQUESTS` sets how many there are for each loop and lane.
    """
    session.install("-e", ".", *group("test"))
    session.run(
        "pytest", "tests/behaviour/faults/test_chaos.py", "-m", "slow", "-rP", *session.posargs
    )


@nox.session
def crash(session: nox.Session) -> None:
    """Kill a program with a journal at 300 random moments, and judge what it delivered.

    `CRASH_SEED` repeats a run, `CRASH_KILLS` sets how many there are; arguments go to pytest.
    """
    session.install("-e", ".", *group("test"))
    session.run(
        "pytest", "tests/behaviour/journal/test_killed.py", "-m", "slow", "-rP", *session.posargs
    )


@nox.session
def http2(session: nox.Session) -> None:
    """Count what is lost with real HTTP/2 servers, as far as they are installed; `-- --help`."""
    session.install("-e", ".[http2,speed]", *group("test"), "hypercorn>=0.17")
    session.run("python", "-m", "tests.http2_servers", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Run requests with faults for three minutes, and fail if anything grows; `-- --hours 8`."""
    session.install(".[speed]")
    session.run("python", "-m", "soak", *session.posargs)
