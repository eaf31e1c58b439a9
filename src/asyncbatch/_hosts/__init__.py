"""
The hosts that all batches of one fetcher share.

Pure: no clock, no sockets and no randomness of their own.
"""

from asyncbatch._hosts._health import DOWN_FOR
from asyncbatch._hosts._host import Host
from asyncbatch._hosts._policies import HostListener, HostRules, RulesFor
from asyncbatch._hosts._table import Hosts

__all__ = ["DOWN_FOR", "Host", "HostListener", "HostRules", "Hosts", "RulesFor"]
