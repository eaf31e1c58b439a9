"""`tests/unit/` mirrors `src/asyncbatch/`: a test file for each module of some length."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "asyncbatch"
UNIT = ROOT / "tests" / "unit"

SHORT = 80
"""Lines up to which a module may be tested with its neighbours."""


def counterpart(module: Path) -> Path:
    """Return where a module is tested, relative to `tests/unit`."""
    folders = [part.removeprefix("_") for part in module.parts[:-1]]
    return Path(*folders, f"test_{module.stem.removeprefix('_')}.py")


def modules_in(source: Path) -> dict[Path, Path]:
    """Return the modules below a folder, by where each is tested."""
    modules = (path.relative_to(source) for path in source.rglob("*.py"))
    return {counterpart(module): module for module in modules if module.stem[:2] != "__"}


def untested(source: Path, unit: Path) -> list[str]:
    """Name the modules of more than `SHORT` lines without a test file."""
    return [
        f"src/asyncbatch/{module} needs tests/unit/{test}"
        for test, module in sorted(modules_in(source).items())
        if len((source / module).read_text().splitlines()) > SHORT and not (unit / test).exists()
    ]


def stray(source: Path, unit: Path) -> list[str]:
    """Name the test files that are of no module."""
    modules = modules_in(source)
    tests = sorted(path.relative_to(unit) for path in unit.rglob("test_*.py"))
    return [
        f"tests/unit/{test} tests no module of its name: rename it, or move it to tests/behaviour"
        for test in tests
        if test not in modules
    ]


def test_each_long_module_has_a_test_file_of_its_name() -> None:
    """In the same place, without the underscores."""
    missing = untested(SOURCE, UNIT)

    assert not missing, "\n".join(missing)


def test_each_unit_test_file_is_of_a_module() -> None:
    """What is about several belongs to `tests/behaviour`."""
    strays = stray(SOURCE, UNIT)

    assert not strays, "\n".join(strays)


@pytest.mark.parametrize(
    ("module", "test"),
    [
        ("_values/_retry.py", "values/test_retry.py"),
        ("_engine/http11/_head.py", "engine/http11/test_head.py"),
        ("testing/_server.py", "testing/test_server.py"),
        ("_entry_points.py", "test_entry_points.py"),
    ],
)
def test_a_module_is_tested_where_its_name_says(module: str, test: str) -> None:
    """Public rooms too."""
    assert counterpart(Path(module)) == Path(test)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """A long module without tests, and tests without a module; short ones may go either way."""
    source, unit = tmp_path / "src", tmp_path / "unit"
    for folder in (source / "_a", unit / "a"):
        folder.mkdir(parents=True)
    (source / "_a" / "_long.py").write_text("\n" * (SHORT + 1))
    (source / "_a" / "_short.py").write_text("\n" * SHORT)
    (source / "_a" / "__init__.py").write_text("\n" * 999)
    (unit / "a" / "test_short.py").touch()
    (unit / "a" / "test_gone.py").touch()
    (unit / "a" / "helper.py").touch()

    assert [line.split()[0] for line in untested(source, unit)] == ["src/asyncbatch/_a/_long.py"]
    assert [line.split()[0] for line in stray(source, unit)] == ["tests/unit/a/test_gone.py"]
    (unit / "a" / "test_long.py").touch()
    assert untested(source, unit) == []
