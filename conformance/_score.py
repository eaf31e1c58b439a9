"""
What a run of the table has shown, as a value: read from and written to JSON, and told in Markdown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

PASSED = "passed"
FAILED = "failed"
NOT_APPLICABLE = "n/a"


@attrs.frozen
class Score:
    """How one client did."""

    client: str
    """Its name and version."""
    groups: Mapping[str, Mapping[str, int]]
    """By the subject of the cases, how many passed, failed and do not apply."""
    failures: Mapping[str, str]
    """What was wrong, by the name of the case."""

    def count(self, verdict: str, group: str | None = None) -> int:
        """Count the cases with a verdict."""
        groups = self.groups.values() if group is None else [self.groups.get(group, {})]
        return sum(counts.get(verdict, 0) for counts in groups)


@attrs.frozen
class Record:
    """A run: when, on what, and the scores."""

    date: str
    python: str
    cases: int
    deliveries: tuple[str, ...]
    scores: tuple[Score, ...]
    missing: Mapping[str, str]
    """Clients that could not be asked, and why."""

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(attrs.asdict(self), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read it from JSON."""
        raw: dict[str, Any] = json.loads(path.read_text())
        scores = tuple(Score(**score) for score in raw.pop("scores"))
        return cls(scores=scores, deliveries=tuple(raw.pop("deliveries")), **raw)


def table(record: Record) -> str:
    """Return the scores side by side, and what each client failed."""
    return "\n\n".join([_figures(record), *map(_failures, record.scores)]) + "\n"


def _figures(record: Record) -> str:
    groups = list(dict.fromkeys(group for score in record.scores for group in score.groups))
    header = ["", *(score.client for score in record.scores)]
    rows = [[group, *(_cell(s, group) for s in record.scores)] for group in groups]
    rows.append(["**all**", *(_total(s) for s in record.scores)])
    rows.append(["does not apply", *(str(s.count(NOT_APPLICABLE)) for s in record.scores)])
    rule = ["---", *("--:" for _ in record.scores)]
    lines = ["| " + " | ".join(row) + " |" for row in (header, rule, *rows)]
    missing = [f"Not asked: {name} ({why})." for name, why in record.missing.items()]
    return "\n".join([*lines, *(["", *missing] if missing else [])])


def _cell(score: Score, group: str) -> str:
    failed = score.count(FAILED, group)
    asked = failed + score.count(PASSED, group)
    return f"{failed} of {asked}" if asked else "n/a"


def _total(score: Score) -> str:
    return f"**{_cell_total(score)}**"


def _cell_total(score: Score) -> str:
    failed = score.count(FAILED)
    return f"{failed} of {failed + score.count(PASSED)}"


def _failures(score: Score) -> str:
    if not score.failures:
        return f"{score.client} fails none."
    names = "\n".join(f"    - {name}" for name in _escaped(score.failures))
    return f'??? note "What {score.client} fails"\n\n{names}'


def _escaped(names: Iterable[str]) -> Iterable[str]:
    for name in names:
        yield name.replace("_", "\\_").replace("*", "\\*")


BEGIN = "<!-- conformance: begin -->"
END = "<!-- conformance: end -->"


def publish(record: Record, page: Path, summary: Path) -> None:
    """
    Put the scores between the marks of a page, and their sums between those of another one.

    Raises:
        ValueError: A page has no such marks.
    """
    page.write_text(with_scores(record, page.read_text()))
    summary.write_text(with_sums(record, summary.read_text()))


def with_scores(record: Record, text: str) -> str:
    """Return the text of a page with the scores between its marks."""
    return _between_marks(f"{_circumstances(record)}\n\n{table(record)}", text)


def with_sums(record: Record, text: str) -> str:
    """Return the text of a page with the sums alone between its marks."""
    rows = [f"| {score.client} | {_cell_total(score)} |" for score in record.scores]
    lines = "\n".join(["| client | failed |", "| --- | --: |", *rows])
    return _between_marks(f"{_circumstances(record)}\n\n{lines}\n", text)


def _circumstances(record: Record) -> str:
    return (
        f"{record.cases} cases ({', '.join(record.deliveries)}) on {record.date}, "
        f"with Python {record.python}; failed, of those that apply:"
    )


def _between_marks(new: str, text: str) -> str:
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"no place for the scores: {BEGIN} and {END}")
    return f"{before}{begin}\n\n{new}\n{end}{after}"
