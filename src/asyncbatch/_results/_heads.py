"""
The header fields of many results, each different head of which is read once.

Fields are in flat lists of text: a pair or a list for each of them would set the garbage collector
off. The fields that a response caches are left alone, since they would stay in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Fields = tuple[tuple[str, str], ...]


class Heads:
    """
    The heads of some responses, in their order.

    Args:
        answers: The responses, or what builds them; `None` has no fields.
    """

    def __init__(self, answers: Sequence[Any]) -> None:
        self.names: list[str] = []
        """The names of the fields of all different heads, in lower case."""
        self.values: list[str] = []
        """Their values."""
        self.ends: list[int] = [0]
        """Where each different head begins in these, and where the last one ends."""
        self.places: list[int] = []
        """Which of the different heads each response has."""
        self._read(answers)

    def __len__(self) -> int:
        return len(self.places)

    def rows(self) -> list[Fields]:
        """Return the fields of each response; responses with the same head share one object."""
        pairs = list(zip(self.names, self.values, strict=True))
        unlike = [
            tuple(pairs[begin:end])
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
        block = getattr(head, "block", None)
        if block is not None:
            _, _, lines = block.partition(b"\r\n")
            self._add_lines(_decoded(lines))
        elif answer is not None:
            self._add_pairs(answer, answer.headers.raw if head is None else head.fields)
        self.ends.append(len(self.names))

    def _add_lines(self, lines: str) -> None:
        for line in lines.split("\r\n")[:-1]:
            name, _, value = line.partition(":")
            self.names.append(name.lower())
            self.values.append(value.strip(" \t"))

    def _add_pairs(self, answer: Any, raw: Sequence[tuple[bytes, bytes]]) -> None:
        parts = _decoded(b"\0".join([part for pair in raw for part in pair])).split("\0")
        if len(parts) == 2 * len(raw):
            self.names += [name.lower() for name in parts[::2]]
            self.values += parts[1::2]
        elif raw:  # a value with a NUL, of a response made by hand
            for name, value in answer.headers.multi_items():
                self.names.append(name.lower())
                self.values.append(value)


def _decoded(fields: bytes) -> str:
    """Return fields as text, as httpx reads them: all in the first encoding that fits."""
    for encoding in ("ascii", "utf-8"):
        try:
            return fields.decode(encoding)
        except UnicodeDecodeError:
            continue
    return fields.decode("iso-8859-1")
