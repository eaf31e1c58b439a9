"""
Telemetry of the requests that batches send: spans and metrics of OpenTelemetry.

It needs only the API of OpenTelemetry, which is the extra `otel`. `import asyncbatch` does not load
it.
"""

from __future__ import annotations

from asyncbatch._values._pickling import publish

try:
    import opentelemetry.trace  # noqa: F401  # pyright: ignore[reportUnusedImport]
except ModuleNotFoundError as _error:
    raise ImportError(
        "asyncbatch.telemetry needs the API of OpenTelemetry: pip install 'asyncbatch[otel]'"
    ) from _error

from ._opentelemetry import OpenTelemetry

__all__ = ["OpenTelemetry"]

publish(globals())
del publish
