"""
`Retry`, the public retry policy: the rules of `RetryPolicy`, and a function of the caller's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from asyncbatch._values._checks import check_function
from asyncbatch._values._result import Failure
from asyncbatch._values._retry_policy import RetryPolicy


def _check_when(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None:
        check_function(field.name, value, "a function that takes an asyncbatch.Failure, or None")


@attrs.frozen(kw_only=True)
class Retry(RetryPolicy):
    """
    Say which failed requests are tried again, how often and when.

    The `statuses` are tried again, and so are failures that may pass: no connection, a timeout, a
    broken or truncated response. Failures that would happen again are not: a name that does not
    exist, a certificate that does not verify, a body that does not decode or is too large, a
    redirect that leads nowhere, a refused address, an invalid request.
    """

    when: Callable[[Failure], bool | float | None] | None = attrs.field(
        default=None, validator=_check_when
    )
    """A function that is called with each failure that may be tried again at all. `True` tries it
    again, whatever its kind or method, after the usual wait; a number, after that many seconds;
    `False` does not; `None` leaves it to the rest of the policy. `attempts`, `budget` and deadlines
    still apply. If it raises, the result is a failure of kind `callback`."""
