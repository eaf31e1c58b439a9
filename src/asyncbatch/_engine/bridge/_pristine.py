"""What somebody has patched of httpx and httpcore, and which pools are left to httpcore."""

from __future__ import annotations

import sys
import types


def is_untouched(method: object, package: str) -> bool:
    """
    Tell a method as a module of `package` defined it from one that somebody has put in its place.

    By what it is, not by comparing it with what it was when we were imported: the patch may have
    come first.
    """
    if type(method) is not types.FunctionType or hasattr(method, "__wrapped__"):
        return False
    if method.__module__.partition(".")[0] != package:
        return False
    module = sys.modules.get(method.__module__)
    return module is not None and method.__globals__ is module.__dict__


def is_pristine(core: types.ModuleType) -> bool:
    """Say whether nobody has patched httpcore's pool or connections."""
    package = core.__name__
    return is_untouched(core.AsyncConnectionPool.handle_async_request, package) and is_untouched(
        core.AsyncHTTPConnection.handle_async_request, package
    )


def is_stock_pool(pool: object) -> bool:
    """Say whether this is a pool of httpcore's own for HTTP/1.1 without a proxy, and unpatched."""
    core = sys.modules.get("httpcore")  # not imported here, as it would bring trio along
    if core is None or type(pool) is not core.AsyncConnectionPool:
        return False
    if getattr(pool, "_proxy", None) is not None:
        return False
    return getattr(pool, "_http2", True) is False and is_pristine(core)
