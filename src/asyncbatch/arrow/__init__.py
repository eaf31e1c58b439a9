"""
Arrow tables: of results, and of what an engine has in record batches, with the answers beside it.

`fetch_batches` has the form of what Spark's `mapInArrow` calls, and is a line away from what Ray
Data, Daft and Dask call. All of it needs `pyarrow`, the extra `arrow`.
"""

from __future__ import annotations

from asyncbatch._values._pickling import publish

from ._fetch_batches import fetch_batches, fetched_schema
from ._tables import schema, table

__all__ = ["fetch_batches", "fetched_schema", "schema", "table"]

publish(globals())
del publish
