"""
The header fields of many results. Each distinct head, and each distinct line, is parsed once.

Most heads differ only in a few lines, such as `Date` or `ETag`. Fields are in flat lists, because a
pair or a list for each of them would start the garbage collector. The fields that a response caches
are not read, because the response would keep them in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


class Heads:
    """
    The heads of some responses, in their order.

    Args:
        answers: The responses, or what builds them; `None` has no fields.
    """

    def __init__(self, answers: Sequence[Any]) -> None:
        self.fields = Fields()
        """The different fields."""
        self.lines: list[int] = []
        """Which of them the different heads have, one head after the other."""
        self.ends: list[int] = [0]
        """Where each different head begins in these, and where the last one ends."""
        self.places: list[int] = []
        """Which of the different heads each response has."""
        self._read(answers)

    def __len__(self) -> int:
        return len(self.places)

    def rows(self) -> list[tuple[tuple[str, str], ...]]:
        """Return the fields of each response; responses with the same head share one object."""
        pairs = list(zip(self.fields.names, self.fields.texts, strict=True))
        lines = [pairs[line] for line in self.lines]
        unlike = [
            tuple(lines[begin:end])
            for begin, end in zip(self.ends[:-1], self.ends[1:], strict=True)
        ]
        return [unlike[place] for place in self.places]

    def _read(self, answers: Sequence[Any]) -> None:
        # Most results of a connection share the object that builds their responses.
        known: dict[int, int] = {}
        last, place = object(), 0
        for answer in answers:
            if answer is not last:
                last, found = answer, known.get(id(answer))
                place = self._place_of(answer, known) if found is None else found
            self.places.append(place)

    def _place_of(self, answer: Any, known: dict[int, int]) -> int:
        head = getattr(answer, "head", None)
        place = None if head is None else known.get(id(head))
        if place is None:
            place = len(self.ends) - 1
            self._add(answer, head)
            if head is not None:
                known[id(head)] = place
        known[id(answer)] = place
        return place

    def _add(self, answer: Any, head: Any) -> None:
        block: bytes | None = getattr(head, "block", None)
        if block is not None:
            # Without the status line, whose reason may be in another encoding.
            _, _, fields = block.partition(b"\r\n")
            lines = fields.split(b"\r\n") if fields.isascii() else _decoded(fields).split("\r\n")
            self.lines += map(self.fields.__getitem__, lines[:-1])
        elif answer is not None:
            self._add_pairs(answer, answer.headers.raw if head is None else head.fields)
        self.ends.append(len(self.lines))

    def _add_pairs(self, answer: Any, raw: Sequence[tuple[bytes, bytes]]) -> None:
        parts = _decoded(b"\0".join([part for pair in raw for part in pair])).split("\0")
        pairs: Iterable[tuple[str, str]] = zip(parts[::2], parts[1::2], strict=True)
        if raw and len(parts) != 2 * len(raw):  # a value with a NUL, of a response made by hand
            pairs = answer.headers.multi_items()
        if raw:
            self.lines += [self.fields.add(name, value) for name, value in pairs]


class Fields(dict[bytes | str, int]):
    """Different fields: the place of each by its line, which is read when it is asked for first."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        """Their names, in lower case."""
        self.texts: list[str] = []
        """Their values."""

    def __missing__(self, line: bytes | str) -> int:
        name, _, value = (line.decode() if isinstance(line, bytes) else line).partition(":")
        place = self[line] = self.add(name, value.strip(" \t"))
        return place

    def add(self, name: str, value: str) -> int:
        """Take a field, and return its place."""
        self.names.append(name.lower())
        self.texts.append(value)
        return len(self.names) - 1


def _decoded(fields: bytes) -> str:
    """Return fields as text, as httpx reads them: all in the first encoding that fits."""
    for encoding in ("ascii", "utf-8"):
        try:
            return fields.decode(encoding)
        except UnicodeDecodeError:
            continue
    return fields.decode("iso-8859-1")
