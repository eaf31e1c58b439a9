"""
List only the parameters that something is said about.

`**options: Unpack[FetcherOptions]` is shown as the options behind it, in the signature and, without
a word, in the list; what each means stands with `Fetcher`.
"""

from __future__ import annotations

from typing import Any

import griffe


class Described(griffe.Extension):
    """Leave parameters without a description out of the list, and in the signature."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Shorten the list of one function."""
        for section in func.docstring.parsed if func.docstring else ():
            if section.kind is griffe.DocstringSectionKind.parameters:
                section.value[:] = [each for each in section.value if each.description]
