"""
Fetch with more than one process or machine: with processes of our own, on Dask, Ray or others.

The requests are cut into shards by host, so each host has one worker, and all its limits hold
there. `run_shard` fetches one shard, keeps a journal, and writes one Parquet file.
"""

from __future__ import annotations

from asyncbatch._values._pickling import publish

from ._dataset import Dataset, open_dataset
from ._fetch import fetch_sharded
from ._load import HostLoad
from ._plan import Estimate, Plan, Shard, plan
from ._ray import RayExecutor
from ._report import HostFigures, ShardReport
from ._run import ShardTask, run_shard

__all__ = [
    "Dataset",
    "Estimate",
    "HostFigures",
    "HostLoad",
    "Plan",
    "RayExecutor",
    "Shard",
    "ShardReport",
    "ShardTask",
    "fetch_sharded",
    "open_dataset",
    "plan",
    "run_shard",
]

publish(globals())
del publish
