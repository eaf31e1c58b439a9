"""
Show the fields of attrs classes as their readers use them.

`attempts: int = attrs.field(default=3, validator=...)` becomes `attempts: int = 3`, and a field
without a default loses its call altogether.
"""

from __future__ import annotations

from typing import Any

import griffe


class AttrsFields(griffe.Extension):
    """Put the default of an attrs field in the place of the call that declares it."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Replace the value of one attribute, if it is a field."""
        call = attr.value
        if isinstance(call, griffe.ExprCall) and call.canonical_path == "attrs.field":
            given = {
                argument.name: argument.value
                for argument in call.arguments
                if isinstance(argument, griffe.ExprKeyword)
            }
            attr.value = given.get("default")
