"""
A request in the pickle of its result, without the parts that cannot be pickled.

It is imported when a result is pickled, or a request is sent. `Request` refuses to be pickled by
itself with such a part.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import attrs

from asyncbatch._values._pickling import Absent, Parcel, given_in, made_of, same, travels
from asyncbatch._values._request import Request

_fields_of: Callable[[Request], Sequence[object]] = attrgetter(
    *(field.name for field in attrs.fields(Request))
)


class RequestParcel(Parcel):
    """Placeholder for the request of a result; fields that do not pickle are left out."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        # Without the memo: a failed copy would leave objects in it that no longer exist.
        try:
            return copy.deepcopy(self.value)
        except Exception:
            function, arguments = self.__reduce__()
            return function(*copy.deepcopy(arguments))

    def __reduce__(self) -> tuple[Any, ...]:
        state = given_in(self.value)
        absent = [name for name, each in state.items() if not travels(each)]
        if not absent:
            return same, (self.value,)
        for name in absent:
            state[name] = Absent(type(state[name]).__name__)
        if "retry" in absent:
            state["retry"] = attrs.evolve(self.value.retry, when=None)
        if "_sources" in absent:
            del state["_sources"]
        return made_of, (Request, state)


def check_present(request: Request) -> None:
    """
    Raise if a field of an unpickled request is missing because it did not pickle.

    Raises:
        TypeError: Names the field.
    """
    if Absent not in map(type, _fields_of(request)):
        return
    for field in attrs.fields(Request):
        given = getattr(request, field.name)
        if isinstance(given, Absent) and field.name != "tag":
            raise TypeError(
                f"the {field.alias} of this request, a {given.what}, did not pickle with its "
                f"result; give it again: attrs.evolve(request, {field.alias}=...)"
            )
