"""
The command `python -m asyncbatch`.

It is built on the public names alone, as a user could have built it.
"""

from asyncbatch._cli._main import main

__all__ = ["main"]
