"""
What people read, made from a record alone: the tables, docs/contributing/benchmarks.md, and the
summary in docs/performance.md, whose prose is written by hand.
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
    AIOHTTP,
    BY_NAME,
    HTTPX,
    ORDINARY,
    OURS,
    OURS_UVLOOP,
    RESOURCES,
    RUST,
    WORKLOADS,
    Entrant,
    Workload,
    ideal_makespan,
)

_KEPT = Path("benchmarks/results.json")
_PAGE = Path("docs/contributing/benchmarks.md")
_SUMMARY = Path("docs/performance.md")
_BEGIN = "<!-- benchmarks: begin -->"
_END = "<!-- benchmarks: end -->"

_INTRODUCTION = """
Every figure of the last full run.
[Performance](../performance.md) is the summary, [optimisations](optimisations.md) has the reasons.
`benchmarks/README.md` says how to run the benchmarks and how they are kept fair.
`benchmarks/results.json` has the record.
"""

_EXPLANATION = """
Each figure is the median over the rounds, with the least and the greatest of them.
Ratios are taken within a round; only they can be compared with those of another machine.
`÷ asyncbatch` compares with asyncbatch on the same event loop (wrk and openssl: on asyncio).
`peak MB` is the whole process, `grown MB` what it grew by while it was measured.
"""


def publish(record: Record, root: Path) -> None:
    """Write the page and its charts, fill in the summary, and keep the record of them all."""
    record.write(root / _KEPT)
    for name, drawing in chart.charts(record).items():
        (root / _SUMMARY).with_name(f"performance-{name}.svg").write_text(drawing)
    (root / _PAGE).write_text(page(record))
    (root / _SUMMARY).write_text(with_summary(record, (root / _SUMMARY).read_text()))


def page(record: Record) -> str:
    """Return docs/contributing/benchmarks.md."""
    charts = [
        f"![{chart.TITLES[name]}](../performance-{name}.svg)" for name in chart.charts(record)
    ]
    parts = [
        "# Benchmarks",
        "<!-- Made by `python -m benchmarks publish`; what is edited here is lost. -->",
        _INTRODUCTION,
        _circumstances(record),
        *charts[:1],
        "## Targets",
        targets(record),
        "## Measurements",
        _EXPLANATION,
        tables(record),
        *charts[1:],
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def with_summary(record: Record, text: str) -> str:
    """
    Return the text of a page with the summary between its marks.

    Raises:
        ValueError: The page has no such marks.
    """
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"no place for the summary: {_BEGIN} and {_END}")
    return f"{before}{begin}\n\n{summary(record)}\n\n{end}{after}"


def summary(record: Record) -> str:
    """Return what others take for the same, in multiples of what asyncbatch takes."""
    header = ["what is fetched", "asyncbatch", "aiohttp", "fastest Rust client", "httpx"]
    rows = [_summary_row(record, BY_NAME[name]) for name in _SUMMARIZED if record.of(name)]
    python = record.machine.get("python", "")
    found = f"Measured on {record.date} with {python}, {_some_versions(record)}."
    parts = (_table(header, rows), ways(record), found)
    return "\n\n".join(part for part in parts if part)


def ways(record: Record) -> str:
    """
    Return the CPU time of the ordinary ways of use, in multiples of ours; empty without any.

    The rows of the first table are left out.
    """
    names = [name for name in ORDINARY if record.of(name) and name not in _SUMMARIZED]
    if not names:
        return ""
    header = ["used with", "asyncbatch", "aiohttp (from, to)", "fastest Rust client (from, to)"]
    rows = []
    for name in names:
        ours = cpu_of(record, name, OURS)
        cells = [
            _shown(ratio_of(record, Case(name, theirs), Case(name, (on,)), cpu=True))
            for theirs, on in (((AIOHTTP,), OURS), (RUST, OURS_UVLOOP))
        ]
        time = "" if ours is None else _duration(ours.middle)
        title = BY_NAME[name].title
        rows.append([f"{title[0].upper()}{title[1:]}", time, *cells])
    return (
        "The same for ordinary ways of use, by the CPU time of the client's process:\n\n"
        + _table(header, rows)
    )


_SUMMARIZED = (
    "headline",
    "2,000 connections",
    "1 KB",
    "100 KB",
    "10 MB",
    "gzip",
    "POST",
    "TLS",
    "HTTP/2",
    "500 hosts",
    "new connections",
    "new TLS connections",
    "latency",
)


def _summary_row(record: Record, workload: Workload) -> list[str]:
    ours = cost_of(record, workload.name, OURS)
    time = "" if ours is None else _duration(ours.middle)
    cells = [
        _multiple(ratio_of(record, Case(workload.name, theirs), Case(workload.name, (on,))))
        for theirs, on in (((AIOHTTP,), OURS), (RUST, OURS_UVLOOP), ((HTTPX,), OURS))
    ]
    return [f"{workload.title[0].upper()}{workload.title[1:]}", time, *cells]


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{_number(seconds * 1e6)} µs"
    return f"{_number(seconds * 1e3)} ms"


def _multiple(spread: Spread | None) -> str:
    if spread is None:
        return ""
    words = f"{_number(spread.middle)}\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}"
    return f"**{words}**" if spread.middle < 1 else words


def _some_versions(record: Record) -> str:
    names = ("aiohttp", *(entrant.client for entrant in RUST), "httpx", "nginx")
    return ", ".join(f"{name} {record.versions[name]}" for name in names if name in record.versions)


def targets(record: Record) -> str:
    """Return the table of the targets, each reached or not."""
    rows = []
    for verdict in verdicts(record):
        target = verdict.target
        rows.append(
            [
                target.title,
                f"{target.sign} {target.bound:g}{target.unit}",
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
