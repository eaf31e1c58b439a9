"""
Arrow tables of results, and record batches of data engines with the results beside their rows.

Spark's `mapInArrow` can call `fetch_batches` as it is; Ray Data, Daft and Dask need one more line.
All of it needs `pyarrow`, the extra `arrow`.
"""

from __future__ import annotations

from asyncbatch._values._pickling import publish

from ._fetch_batches import fetch_batches, fetched_schema
from ._tables import schema, table

__all__ = ["fetch_batches", "fetched_schema", "schema", "table"]

publish(globals())
del publish
