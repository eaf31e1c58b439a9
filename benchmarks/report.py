"""
What people read: Markdown tables and the page docs/performance.md, made from a record alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks import chart
from benchmarks.figures import (
    Spread,
    cost_of,
    cpu_of,
    entrants_of,
    figure_of,
    ratio_of,
    verdicts,
)
from benchmarks.record import Record
from benchmarks.targets import Case
from benchmarks.workloads import (
    OURS,
    OURS_UVLOOP,
    RESOURCES,
    WORKLOADS,
    Entrant,
    Workload,
    ideal_makespan,
)

_KEPT = Path("benchmarks/results.json")
_PAGE = Path("docs/performance.md")
_FINDINGS = Path("benchmarks/findings.md")

_INTRODUCTION = """
How fast asyncbatch is, against what, and how that was measured.
`benchmarks/README.md` says how to run it, and `benchmarks/results.json` has every figure.
"""

_EXPLANATION = """
Each figure is the median over the rounds, with the least and the greatest of them.
Ratios are taken within a round; only they can be compared with those of another machine.
`÷ asyncbatch` compares with asyncbatch on the same event loop (wrk: on asyncio).
`peak MB` is the whole process, `grown MB` what it grew by while it was measured.
"""


def publish(record: Record, root: Path) -> None:
    """Write the page and its charts, and keep the record that they were made from."""
    record.write(root / _KEPT)
    for name, drawing in chart.charts(record).items():
        (root / _PAGE).with_name(f"performance-{name}.svg").write_text(drawing)
    (root / _PAGE).write_text(page(record, root))


def page(record: Record, root: Path) -> str:
    """Return docs/performance.md."""
    findings = root / _FINDINGS
    parts = [
        "# Performance",
        "<!-- Made by `python -m benchmarks publish`; what is edited here is lost. -->",
        _INTRODUCTION,
        _circumstances(record),
        *(
            f"![{chart.TITLES[name]}](performance-{name}.svg)"
            for name in chart.charts(record)
            if name == "headline"
        ),
        "## Targets",
        targets(record),
        "## Measurements",
        _EXPLANATION,
        tables(record),
        *(
            f"![{chart.TITLES[name]}](performance-{name}.svg)"
            for name in chart.charts(record)
            if name != "headline"
        ),
    ]
    if findings.exists():
        parts.append(findings.read_text().strip())
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def targets(record: Record) -> str:
    """Return the table of the targets, each reached or not."""
    rows = []
    for verdict in verdicts(record):
        target = verdict.target
        sign = "≥" if target.sense == "at least" else "≤"
        rows.append(
            [
                target.title,
                f"{sign} {target.bound:g}{target.unit}",
                _shown(verdict.spread, target.unit),
                _middle(verdict.by_cpu, 1.0),
                verdict.word,
                target.reason,
            ]
        )
    return _table(["what", "target", "measured (from, to)", "by CPU", "", "why"], rows)


def tables(record: Record) -> str:
    """Return a table for each workload and one for the layers, and what is missing."""
    parts = [_workload_table(record, workload) for workload in WORKLOADS]
    parts += [_layer_table(record), _missing(record)]
    return "\n\n".join(part for part in parts if part)


def _workload_table(record: Record, workload: Workload) -> str:
    entrants = entrants_of(record, workload.name)
    if not entrants:
        return ""
    header: list[str]
    if workload.kind == "makespan":
        header, row = _MAKESPAN_COLUMNS, _makespan_row
    elif workload.is_large:
        header, row = _LARGE_COLUMNS, _large_row
    else:
        header, row = _COLUMNS, _row
    rows = [[str(entrant), *row(record, workload, entrant)] for entrant in entrants]
    return f"### {workload.title[0].upper()}{workload.title[1:]}\n\n{_table(header, rows)}"


_COLUMNS = [
    "client",
    "wall µs/request",
    "CPU µs/request",
    "÷ asyncbatch",
    "CPU ÷ asyncbatch",
    "peak MB",
    "grown MB",
]
_LARGE_COLUMNS = ["client", "MB/s", "CPU ms/request", "÷ asyncbatch", "peak MB", "grown MB"]

_MAKESPAN_COLUMNS = ["client", "seconds", "least possible", "ratio", "CPU µs/request"]


def _row(record: Record, workload: Workload, entrant: Entrant) -> list[str]:
    return [
        _shown(cost_of(record, workload.name, entrant), scale=1e6),
        _middle(cpu_of(record, workload.name, entrant), 1e6),
        _shown(_against_ours(record, workload, entrant)),
        _shown(_against_ours(record, workload, entrant, cpu=True)),
        *_memory(record, workload, entrant),
    ]


def _large_row(record: Record, workload: Workload, entrant: Entrant) -> list[str]:
    size = len(RESOURCES[workload.resource].content)
    speeds = (size / each.wall_per_request for each in record.of(workload.name, entrant))
    return [
        _shown(Spread.of(speeds), scale=1e-6),
        _middle(cpu_of(record, workload.name, entrant), 1e3),
        _shown(_against_ours(record, workload, entrant)),
        *_memory(record, workload, entrant),
    ]


def _makespan_row(record: Record, workload: Workload, entrant: Entrant) -> list[str]:
    return [
        _shown(figure_of(record, workload.name, entrant, "wall")),
        f"{ideal_makespan(workload):.2f}",
        _shown(figure_of(record, workload.name, entrant, "makespan_ratio")),
        _middle(cpu_of(record, workload.name, entrant), 1e6),
    ]


def _against_ours(
    record: Record, workload: Workload, entrant: Entrant, *, cpu: bool = False
) -> Spread | None:
    """Return the cost of a client over ours: over ours on its loop, where both were measured."""
    ours = OURS_UVLOOP if entrant.loop == "uvloop" else OURS
    if ours not in workload.entrants:
        ours = workload.entrants[0]
    theirs = Case(workload.name, (entrant,))
    return ratio_of(record, theirs, Case(workload.name, (ours,)), cpu=cpu)


def _memory(record: Record, workload: Workload, entrant: Entrant) -> list[str]:
    return [
        _middle(figure_of(record, workload.name, entrant, name), 1e-6)
        for name in ("peak_memory", "memory_growth")
    ]


def _layer_table(record: Record) -> str:
    if not record.layers:
        return ""
    rows = [[name, _shown(Spread.of(costs), scale=1e6)] for name, costs in record.layers.items()]
    return f"### Each layer on its own\n\n{_table(['layer', 'µs'], rows)}"


def _missing(record: Record) -> str:
    lines = [f"- {what}: {why}" for what, why in sorted(record.missing.items())]
    return "\n".join(["### Not measured", "", *lines]) if lines else ""


def _circumstances(record: Record) -> str:
    machine = ", ".join(f"{name}: {_yes_no(value)}" for name, value in record.machine.items())
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    return (
        f"Measured on {record.date} in {record.mode} mode.\nMachine: {machine}.\n"
        f"Versions: {versions}."
    )


def _yes_no(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _shown(spread: Spread | None, unit: str = "", *, scale: float = 1.0) -> str:
    if spread is None:
        return ""
    spread = spread.times(scale)
    middle, least, greatest = map(_number, (spread.middle, spread.least, spread.greatest))
    return f"{middle}{unit}" if spread.rounds == 1 else f"{middle}{unit} ({least}, {greatest})"


def _middle(spread: Spread | None, scale: float) -> str:
    return "" if spread is None else _number(spread.middle * scale)


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _table(header: list[str], rows: Iterable[list[str]]) -> str:
    lines = [header, *rows]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
        for line in lines
    )
