"""An exchange that is used again, against one that is made anew."""

from __future__ import annotations

from typing import Any

from asyncbatch._engine._event_loop import running_loop
from asyncbatch._engine._exchange import Exchange, ExchangeLimits, Origin
from tests import aio

# The same for all requests of one relay, for which alone an exchange is renewed.
SHARED = {"future", "body", "limits", "closes", "follow", "observer", "reader"}
# Written when it waits in the pool, is started, or ends, before anybody reads them.
WRITTEN_LATER = {"connection", "is_reused", "dial", "expires", "order", "trailers"}
# Of one that has failed, and such a one is not renewed.
OF_FAILURES = {"error", "is_at_proxy"}


async def test_a_renewed_exchange_is_like_a_new_one() -> None:
    """`renew` against `__init__`, field by field, but for those that it leaves by name."""
    future: aio.Future = running_loop().create_future()
    origin, marker = Origin(is_tls=False, host="a.test", port=80), object()
    made = Exchange(future, origin, b"PUT", b"payload", None, ExchangeLimits(), 7.0, False, 5.0)
    used: Any = Exchange(future, origin, b"GET", b"", None, ExchangeLimits(), 0.0, False, 0.0)
    for name in Exchange.__slots__:
        setattr(used, name, marker)

    used.renew(origin, b"PUT", b"payload", 7.0, 5.0)

    left = {name for name in Exchange.__slots__ if getattr(used, name) is marker}
    assert left == SHARED | WRITTEN_LATER | OF_FAILURES
    for name in set(Exchange.__slots__) - left:
        assert getattr(used, name) == getattr(made, name), name
