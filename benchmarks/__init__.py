"""
The benchmark suite: asyncbatch against its peers, its floor and its limit, in one run.

`python -m benchmarks run`, or `nox -s bench`; README.md says how to read what comes out.
"""
