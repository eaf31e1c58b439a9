"""One batch: a run over one input, with a result for each request in it."""

from asyncbatch._batch._batch import Batch
from asyncbatch._batch._shared import Shared

__all__ = ["Batch", "Shared"]
