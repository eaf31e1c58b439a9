"""
Fetch with more than one process or machine, on an engine that exists: a process pool, Dask, Ray.

The requests are cut into shards by host, so that all limits of a host hold in the one worker that
has it. Each shard is fetched by `run_shard`, which keeps a journal and writes one Parquet file.
"""

from __future__ import annotations

from asyncbatch._values._pickling import publish

from ._load import HostLoad
from ._plan import Estimate, Plan, Shard, plan

__all__ = ["Estimate", "HostLoad", "Plan", "Shard", "plan"]

publish(globals())
del publish
