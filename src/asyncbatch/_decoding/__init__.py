"""
Bounded content decoders: from encoded chunks to decoded bytes, for every lane.

Pure: no I/O, no event loop, no HTTP library. The cap counts decoded bytes and sits inside the
decoders, so that a body that would become gigabytes costs no more memory than the cap and a
constant. There is no bound on the ratio, because dense bodies are legitimate.
"""

from __future__ import annotations

from ._cost import may_be_large
from ._decoder import decode, decoder_for, decoder_into
from ._stage import BodyCut, BodyLimitExceeded, CorruptBody, DecodingFailure
from ._zlib import gunzip_at_once

__all__ = [
    "BodyCut",
    "BodyLimitExceeded",
    "CorruptBody",
    "DecodingFailure",
    "decode",
    "decoder_for",
    "decoder_into",
    "gunzip_at_once",
    "may_be_large",
]
