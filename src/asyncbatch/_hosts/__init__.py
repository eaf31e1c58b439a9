"""
The hosts that all batches of one fetcher share.

Pure: no clock, no sockets and no randomness of their own.
"""

from asyncbatch._hosts._host import Host
from asyncbatch._hosts._table import Hosts

__all__ = ["Host", "Hosts"]
