"""
`Retry`, the public retry policy: the rules of `RetryPolicy`, and a function of the caller.
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
    The retry policy: which failed requests are tried again, how often and when.

    Responses with one of the `statuses` are tried again, and so are temporary failures: no
    connection, a timeout, a broken or truncated response. Permanent failures are not: a name that
    does not exist, a certificate that does not verify, a body that does not decode or is too large,
    an invalid redirect, a refused address, an invalid request.
    """

    when: Callable[[Failure], bool | float | None] | None = attrs.field(
        default=None, validator=_check_when
    )
    """A function that is called with each failure that can be tried again (tries are left, and the
    body can be sent again). It returns `True` to try again after the usual wait, with any kind
    and method; a number, to try again after that many seconds; `False`, not to try again; `None`,
    to let the rest of the policy decide. `attempts`, `budget` and deadlines still apply. If it
    raises, the result is a failure of kind `callback`."""
