"""
Show the options once, with their defaults.

`**options: Unpack[FetcherOptions]` is shown as the options behind it where `Fetcher` explains them,
and as it is written everywhere else. The types do not tell the defaults: they are taken from the
signature that Python shows.
"""

from __future__ import annotations

import inspect
from typing import Any

import griffe

import asyncbatch


class OptionDefaults(griffe.Extension):
    """Fill in the defaults, or fold the options into one argument."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Change one signature."""
        # As the options' types leave them.
        unpacked = [each for each in func.parameters if each.default == "..."]
        if not unpacked:
            return
        if func.parent is not None and func.parent.name in ("Fetcher", "FetcherOptions"):
            for parameter in unpacked:
                parameter.default = shown(DEFAULTS[parameter.name])
            return
        for parameter in unpacked:
            del func.parameters[parameter.name]
        func.parameters.add(folded(func))


DEFAULTS = {
    parameter.name: parameter.default
    for parameter in inspect.signature(asyncbatch.fetch_many).parameters.values()
}


def shown(default: object) -> str:
    """Return a default as it would be written; a policy as it is by default is `Retry()`."""
    if isinstance(default, asyncbatch.Retry) and default == asyncbatch.Retry():
        return "Retry()"
    return f"{default:_}" if type(default) is int else repr(default)


def folded(func: griffe.Function) -> griffe.Parameter:
    """Return the argument that stands for all options of a function."""
    scope = func.module
    annotation = griffe.ExprSubscript(
        griffe.ExprName("Unpack", parent=scope), griffe.ExprName("FetcherOptions", parent=scope)
    )
    kind = griffe.ParameterKind.var_keyword
    return griffe.Parameter("options", annotation=annotation, kind=kind, default="{}")
