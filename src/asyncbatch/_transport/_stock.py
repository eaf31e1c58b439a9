"""httpcore as it is: what of it somebody has patched, and what of it is left to itself."""

from __future__ import annotations

import sys
import types


def is_pristine(core: types.ModuleType) -> bool:
    """
    Say whether nobody has patched httpcore's pool or connections.

    By what the functions are, not by comparing them with what they were when we were imported: the
    patch may have come first.
    """
    return all(
        type(function) is types.FunctionType
        and function.__module__.startswith(f"{core.__name__}.")
        and function.__globals__ is sys.modules[function.__module__].__dict__
        and not hasattr(function, "__wrapped__")
        for function in (
            core.AsyncConnectionPool.handle_async_request,
            core.AsyncHTTPConnection.handle_async_request,
        )
    )


def is_stock_pool(pool: object) -> bool:
    """
    Say whether this is a pool of httpcore's own for HTTP/1.1 without a proxy, and unpatched.

    So is one of ours where there is no engine for it.
    """
    core = sys.modules.get("httpcore")  # not imported here, as it would bring trio along
    if core is None:
        return False
    if type(pool) is not core.AsyncConnectionPool:
        is_ours = getattr(pool, "core", None) is core and getattr(pool, "is_without_engine", False)
        if not is_ours:
            return False
    return getattr(pool, "_http2", True) is False and is_pristine(core)
