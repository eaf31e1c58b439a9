"""
Show the default of each option.

`**options: Unpack[FetcherOptions]` is shown as the options behind it, whose defaults the types do
not tell: they are taken from the signature that Python shows.
"""

from __future__ import annotations

import inspect
from typing import Any

import griffe

import asyncbatch


class OptionDefaults(griffe.Extension):
    """Put the defaults into the signature of each function that takes the options."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Fill in one signature."""
        for parameter in func.parameters:
            if parameter.default == "...":  # as the options' types leave it
                parameter.default = shown(DEFAULTS[parameter.name])


DEFAULTS = {
    parameter.name: parameter.default
    for parameter in inspect.signature(asyncbatch.fetch_many).parameters.values()
}


def shown(default: object) -> str:
    """Return a default as it would be written; a policy as it is by default is `Retry()`."""
    if isinstance(default, asyncbatch.Retry) and default == asyncbatch.Retry():
        return "Retry()"
    return repr(default)
