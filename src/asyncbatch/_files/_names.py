"""
Safe names of files, from a URL, a `Content-Disposition` or a caller's function.

A safe name is one part of a path on every system, has no invisible characters, and leaves room for
the suffixes of the files beside it. Pure: it knows no folder and no file.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import unquote_to_bytes

from asyncbatch._files._content_disposition import filename_of

NAMELESS = "download"
"""The name of a file whose URL has none."""

MAX_BYTES = 255
"""Most bytes of a name in a folder, on every file system in use but those that encrypt names."""

_PART = ".part"
_RESUME = ".resume"
_REFRESH = ".refresh"

MAX_SAFE_BYTES = MAX_BYTES - len(".") - len(_REFRESH)
"""Most bytes of a name that is made here: with the longest addition it has `MAX_BYTES`."""

_SEPARATORS = re.compile(r"[/\\]")
# Names in which nothing is replaced: most of them.
_PLAIN = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_ENDS = re.compile(r"\A[\s.]+|[\s.]+\Z")
_END = re.compile(r"[\s.]+\Z")

# Separators and what Windows forbids, `:` for alternate data streams and the old Mac OS among them;
# then the characters that look like separators, which code pages of Windows turn into them.
_FORBIDDEN = frozenset(
    '"*/:<>?\\|' + "\u2044\u2215\u2216\u29f5\u29f8\u29f9\ufe68\uff0f\uff3c\uff1a"
)
# Controls, lines, paragraphs, surrogates, and private ones, which Cygwin and Samba use for `:` and
# the like.
_REPLACED_CATEGORIES = frozenset({"Cc", "Zl", "Zp", "Cs", "Co"})
# Default_Ignorable_Code_Point (UAX #44) outside of the category Cf: joiners, fillers, selectors.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U000e0000-\U000e0fff]"
)

# `COM¹` is `COM1` to Windows, and so with any extension; blanks before the extension do not count.
_RESERVED = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"}
    | {port + digit for port in ("COM", "LPT") for digit in "0123456789¹²³"}
)

# `.tar.gz` is one suffix; `-1.5.gz` is not.
_SUFFIX = re.compile(
    r"(?:\.[A-Za-z][A-Za-z0-9]{0,7})?\.(?:gz|bz2|xz|zst|br|lz4?|lzma|z)\Z|\.[^.\s]{1,16}\Z",
    re.IGNORECASE,
)

_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*|//[^/]*")
_PATH = re.compile(r"[^?#]*")


def name_from_url(url: str) -> str:
    """
    Return a safe name for the file at a URL: the last part of its path, percent-escapes decoded.

    The query does not count. A path that ends with a slash has no name: `download`.
    """
    before, _, last = url.rpartition("/")
    if "?" not in url and "#" not in url and before[-1:] != "/" and _is_safe(last):
        return last  # the most common URL, and the same as below
    path = _PATH.match(url)
    assert path is not None
    last = _AUTHORITY.sub("", path[0], count=1).rpartition("/")[2]
    if "%" not in last and last.isascii():
        return safe_name(last)
    return safe_name(_decoded(unquote_to_bytes(_encoded(last))))


def name_from_disposition(value: bytes) -> str | None:
    """
    Return a safe name for the file that a `Content-Disposition` names; `None` if it names none.

    Args:
        value: The field's value, as received.
    """
    named = filename_of(value)
    return None if named is None else _made_safe(named) or None


def safe_name(name: str) -> str:
    """
    Return a name for a file in a folder that is as close to `name` as is safe.

    Only the last part of a path counts. The result has no separator, control or invisible
    character, is no name that a system reserves, begins with no dot, ends with no dot or blank, and
    is normalised (NFC). It never ends with `.part`, has at most `MAX_SAFE_BYTES` bytes in UTF-8,
    and keeps its extension if it must be cut. It is never empty. A safe name stays as it is.
    """
    return _made_safe(name) or NAMELESS


def numbered(name: str, number: int) -> str:
    """Return the name with a number before its extension: `name (1).ext`; safe if the name is."""
    stem, suffix = _split_suffix(name)
    return _shortened(stem, f" ({number}){suffix}", MAX_SAFE_BYTES)


def target_key(name: str) -> str:
    """
    Return what equal names of files in one folder have in common, on the least exact file system.

    Names that differ by case, by normalisation or by invisible characters are one file on APFS, on
    NTFS, or on ext4 with case folding (Unicode D145, canonical caseless matching).

    Args:
        name: The last part of a path; the folder is the caller's to compare.
    """
    if name.isascii():
        return name.lower()
    folded = unicodedata.normalize("NFD", _without_invisible(name)).casefold()
    return unicodedata.normalize("NFC", folded)


def part_name(name: str) -> str:
    """Return the name under which the file `name` is written until it is complete."""
    return _beside(name, "", _PART)


def resume_name(name: str) -> str:
    """Return the name of the hidden file with what is needed to continue the file `name`."""
    return _beside(name, ".", _RESUME)


def refresh_name(name: str) -> str:
    """Return the name of the hidden file with the validators of the complete file `name`."""
    return _beside(name, ".", _REFRESH)


def _made_safe(name: str) -> str:
    """Return a safe name, or "" where nothing of it is left."""
    if _is_safe(name):
        return name
    if not _PLAIN.fullmatch(name):
        last = unicodedata.normalize("NFC", _SEPARATORS.split(name)[-1])
        visible = "".join([_replacement(character) for character in last])
        name = _ENDS.sub("", unicodedata.normalize("NFC", visible))
    name = _unreserved(name)
    if _length(name) > MAX_SAFE_BYTES:
        # A cut of "CON   …" may leave a reserved name.
        name = _unreserved(_shortened(*_split_suffix(name), MAX_SAFE_BYTES))
    if target_key(name).endswith(_PART):
        # What ends so is incomplete: a complete file must not be continued as another one's part.
        name = f"{name[: -len(_PART)]}_{name[1 - len(_PART) :]}"
    return name


def _is_safe(name: str) -> bool:
    """Whether a name is safe as it is; most are, and are found to be so without a copy."""
    return (
        len(name) <= MAX_SAFE_BYTES
        and _PLAIN.fullmatch(name) is not None
        and name.partition(".")[0].upper() not in _RESERVED
        and name[-len(_PART) :].lower() != _PART
    )


@lru_cache(maxsize=1024)
def _replacement(character: str) -> str:
    if character in _FORBIDDEN or _is_noncharacter(ord(character)):
        return "_"
    category = unicodedata.category(character)
    if category in _REPLACED_CATEGORIES:
        return "_"
    return _without_invisible(character) if category != "Cf" else ""


def _is_noncharacter(point: int) -> bool:
    return 0xFDD0 <= point <= 0xFDEF or point & 0xFFFE == 0xFFFE


def _without_invisible(text: str) -> str:
    visible = _INVISIBLE.sub("", text)
    if visible.isascii():
        return visible
    return "".join([one for one in visible if unicodedata.category(one) != "Cf"])


def _unreserved(name: str) -> str:
    device = name.partition(".")[0].rstrip().upper()
    return f"_{name}" if device in _RESERVED else name


def _split_suffix(name: str) -> tuple[str, str]:
    """Split off the extension, if there is one and something before it."""
    found = _SUFFIX.search(name, 1)
    return (name, "") if found is None else (name[: found.start()], found[0])


def _shortened(stem: str, suffix: str, limit: int) -> str:
    """Return the stem and the suffix, the stem cut so that both have at most `limit` bytes."""
    room = limit - _length(suffix)
    if _length(stem) <= room:
        return stem + suffix
    kept = _encoded(stem)[:room].decode("utf-8", "ignore")
    # A base is not parted from its marks, unless there is nothing but marks.
    end = len(kept)
    while end > len(kept) - 30 and end > 1 and unicodedata.category(stem[end])[0] == "M":
        end -= 1
    return _END.sub("", kept[:end]) + suffix


def _beside(name: str, prefix: str, suffix: str) -> str:
    """Return the name of a file beside `name`; a digest stands for what would be too long."""
    room = MAX_BYTES - len(prefix) - len(suffix)
    if len(name) > room or not name.isascii():
        name = _fitting(name, room)
    return prefix + name + suffix


def _fitting(name: str, room: int) -> str:
    if _length(name) > room:
        digest = blake2b(_encoded(name), digest_size=8).hexdigest()
        name = _shortened(name, f"~{digest}", room)
    return name


def _decoded(name: bytes) -> str:
    """Decode a name of unknown encoding: UTF-8, or else ISO-8859-1, in which any byte is valid."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("iso-8859-1")


def _length(text: str) -> int:
    return len(_encoded(text))


def _encoded(text: str) -> bytes:
    # A caller's path may hold lone surrogates, which stand for bytes that are not UTF-8.
    return text.encode("utf-8", "surrogatepass")
