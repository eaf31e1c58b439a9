"""
The table over HTTP/2: a gateway in front of the scripted server, and the cases that it can play.

It needs h2. The cases are the same values: what they send as HTTP/1.1 is translated, and what has
no counterpart in HTTP/2 is left out.
"""

from __future__ import annotations

from ._gateway import gateway
from ._playable import why_not
from ._server import Http2Server

__all__ = ["Http2Server", "gateway", "why_not"]
