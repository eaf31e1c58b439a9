"""
`Checksum`: the hash that a body must have, as a request gives it.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import attrs


@attrs.frozen
class Checksum:
    """A hash and its algorithm."""

    algorithm: str
    digest: str

    def new(self) -> Any:
        """Return a hash to feed."""
        return hashlib.new(self.algorithm, usedforsecurity=False)


@functools.lru_cache(maxsize=256)
def checksum_of(text: str) -> Checksum:
    """
    Return the checksum that `text` stands for: "sha256:" and 64 hexadecimal digits, for example.

    Raises:
        ValueError: If it is none.
    """
    name, separator, digest = text.partition(":")
    name, digest = name.strip().lower().replace("-", ""), digest.strip().lower()
    name = {"sha3256": "sha3_256", "sha3384": "sha3_384", "sha3512": "sha3_512"}.get(name, name)
    if not separator or name not in hashlib.algorithms_available:
        raise ValueError(
            f"checksum must be an algorithm and a hash, such as 'sha256:2cf2...', not {text!r}"
        )
    try:
        size = hashlib.new(name, usedforsecurity=False).digest_size
        raw = bytes.fromhex(digest)
    except ValueError:
        raise ValueError(f"the hash of checksum is not hexadecimal: {text!r}") from None
    if not size:
        raise ValueError(f"checksum needs an algorithm with hashes of one length, not {name!r}")
    if len(raw) != size or len(digest) != 2 * size:
        raise ValueError(
            f"a {name} of checksum has {2 * size} hexadecimal digits, not {len(digest)}: {text!r}"
        )
    return Checksum(name, digest)


def check_checksum(checksum: object) -> None:
    """
    Raise unless `checksum` is one, or `None`.

    Raises:
        TypeError: If it is no text.
        ValueError: If it is no checksum.
    """
    if checksum is None:
        return
    if not isinstance(checksum, str):
        raise TypeError(
            f"checksum must be a str such as 'sha256:2cf2...' or None, not {checksum!r}"
        )
    checksum_of(checksum)
