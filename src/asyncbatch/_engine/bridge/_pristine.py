"""Whether httpx or httpcore were patched, and which pools are httpcore's own."""

from __future__ import annotations

import sys
import types

_untouched: dict[types.FunctionType, str] = {}
"""The functions that were found to be untouched, and by which package they were defined."""


def is_untouched(method: object, package: str) -> bool:
    """
    Whether a method is the one that a module of `package` defined, not a patch.

    It looks at the method itself, not at a copy from when we were imported: the patch may be older.
    """
    if type(method) is not types.FunctionType or "__wrapped__" in method.__dict__:
        return False
    if _untouched.get(method) == package:
        return True
    # `unittest.mock` makes functions without a module.
    if (method.__module__ or "").partition(".")[0] != package:
        return False
    module = sys.modules.get(method.__module__)
    if module is None or method.__globals__ is not module.__dict__:
        return False
    _untouched[method] = package
    return True


def is_pristine(core: types.ModuleType) -> bool:
    """Whether httpcore's pool and connections are not patched."""
    package = core.__name__
    return is_untouched(core.AsyncConnectionPool.handle_async_request, package) and is_untouched(
        core.AsyncHTTPConnection.handle_async_request, package
    )


def is_stock_pool(pool: object) -> bool:
    """Whether this is an unpatched pool of httpcore's own, for HTTP/1.1 without a proxy."""
    core = sys.modules.get("httpcore")  # not imported here, as that would import trio
    if core is None or type(pool) is not core.AsyncConnectionPool:
        return False
    if getattr(pool, "_proxy", None) is not None:
        return False
    return getattr(pool, "_http2", True) is False and is_pristine(core)
