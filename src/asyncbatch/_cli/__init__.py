"""
The command `asyncbatch`, which is `python -m asyncbatch` too.

It is built on the public names alone, as a user could have built it.
"""

from asyncbatch._cli._main import main

__all__ = ["main"]
