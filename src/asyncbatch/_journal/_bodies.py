"""
Bodies in a journal: how each is kept, and the files beside the journal for large ones.

A file is named after its contents, so that equal bodies are one file, and a damaged one is found.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zlib
from pathlib import Path

INLINE = 256 * 1024
"""Bytes of a body up to which it lies in the journal itself, after compression."""

RAW, DEFLATED, BESIDE, DEFLATED_BESIDE, LEFT_OUT = range(5)
"""How a body is kept."""

_WORTH_A_TRY = 2048
_SAMPLE = 16 * 1024
_LEVEL = 1


class DamagedBody(Exception):
    """A body is missing, or is not what was written."""


class Bodies:
    """
    The bodies of one journal.

    Args:
        path: The path of the journal.
        is_synced: Whether each file is written through to the disk.
    """

    def __init__(self, path: Path, *, is_synced: bool) -> None:
        self.folder = Path(f"{path}.d")
        self._is_synced = is_synced

    def kept(self, content: bytes) -> tuple[int, bytes]:
        """
        Return how a body is kept and what is kept in its record; write its file, if it has one.

        Raises:
            OSError: If the file cannot be written.
        """
        packed, coding = content, RAW
        if len(content) >= _WORTH_A_TRY and _compresses(content):
            deflated = zlib.compress(content, _LEVEL)
            if len(deflated) < len(content) * 7 // 8:
                packed, coding = deflated, DEFLATED
        if len(packed) <= INLINE:
            return coding, packed
        digest = hashlib.blake2b(packed, digest_size=20).digest()
        self._write(self._path(digest), packed)
        return BESIDE if coding == RAW else DEFLATED_BESIDE, digest

    def content(self, coding: int, kept: bytes | None) -> bytes:
        """
        Return a body.

        Raises:
            DamagedBody: If it is missing, or not what was written.
        """
        if coding == RAW:
            return kept or b""
        if coding == LEFT_OUT or kept is None:
            return b""
        packed = kept
        if coding in (BESIDE, DEFLATED_BESIDE):
            packed = self._read(kept)
        if coding in (RAW, BESIDE):
            return packed
        try:
            return zlib.decompress(packed)
        except zlib.error as error:
            raise DamagedBody from error

    def _read(self, digest: bytes) -> bytes:
        try:
            packed = self._path(digest).read_bytes()
        except OSError as error:
            raise DamagedBody from error
        if hashlib.blake2b(packed, digest_size=20).digest() != digest:
            raise DamagedBody
        return packed

    def _path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self.folder / name[:2] / name

    def _write(self, path: Path, packed: bytes) -> None:
        with contextlib.suppress(OSError):
            if path.stat().st_size == len(packed) and path.read_bytes() == packed:
                return
        for folder in (self.folder, path.parent):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
        new = path.with_suffix(".new")
        try:
            descriptor = os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
            with open(descriptor, "wb") as file:  # noqa: PTH123  # for the mode
                file.write(packed)
                if self._is_synced:
                    file.flush()
                    os.fsync(file.fileno())
            new.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                new.unlink()
            raise
        if self._is_synced:
            _sync_folder(path.parent)


def _compresses(content: bytes) -> bool:
    """Whether a sample gets shorter: what is compressed already costs time and saves nothing."""
    sample = content[:_SAMPLE]
    return len(zlib.compress(sample, _LEVEL)) < len(sample) * 7 // 8


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
