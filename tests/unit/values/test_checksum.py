"""Checksums as a request gives them."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from asyncbatch import Request
from asyncbatch._values._checksum import checksum_of


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b"])
def test_a_checksum_is_an_algorithm_and_a_hash(algorithm: str):
    """Capitals, and hyphens in the name of the algorithm, do not count."""
    digest = hashlib.new(algorithm, b"abc").hexdigest()
    checksum = checksum_of(f"{algorithm.upper()}:{digest.upper()}")
    found = checksum.new()
    found.update(b"abc")

    assert found.hexdigest() == checksum.digest
    assert checksum_of(f"sha-256:{64 * 'a'}").algorithm == "sha256"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        64 * "a",
        "sha256:" + 63 * "a",
        "sha256:" + 64 * "g",
        "sha256:" + " ".join(32 * ["aa"]),
        "sha256:" + 64 * "\u0660",
        "crc:" + 8 * "a",
        "shake_128:" + 32 * "a",
    ],
)
def test_what_is_no_checksum_is_refused_at_once(text: str):
    """Not only when the file is there."""
    with pytest.raises(ValueError, match="checksum"):
        Request("http://host.test/", to="x", checksum=text)


def test_a_checksum_is_text():
    """Anything else is a mistake."""
    wrong: Any = b"sha256:"
    with pytest.raises(TypeError, match="checksum"):
        Request("http://host.test/", checksum=wrong)
