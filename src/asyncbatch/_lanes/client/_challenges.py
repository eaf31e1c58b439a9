"""
Choose the challenge of a 401 that httpx's `DigestAuth` answers.

`DigestAuth` takes the first field that begins with "Digest", with any algorithm, and no
challenge after another one in the same field. Servers that offer SHA-512-256 first, or Digest after
Basic, are common (RFC 9110 §11.6.1, RFC 7616 §3.7). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from asyncbatch._values._fields import TCHAR

_NAME = TCHAR + "+"
_SCHEME = re.compile(rf"[ \t,]*({_NAME})(?:[ \t]+|(?=,)|\Z)")
_PARAMETER = re.compile(
    rf'[ \t]*({_NAME})[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|{_NAME})[ \t]*(?:,[ \t,]*|\Z)'
)
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|\Z)")

_ALGORITHMS = {
    name + ending for name in ("MD5", "SHA", "SHA-256", "SHA-512") for ending in ("", "-SESS")
}
"""The algorithms of httpx and httpx2."""


def with_one_challenge(response: Any, library: Any) -> Any:
    """
    Return the headers of `response` with only the challenge that `DigestAuth` can answer.

    If it can answer none of the Digest challenges, return the headers without any challenge. If
    there is no well-formed Digest challenge, return them unchanged.
    """
    headers = response.headers
    fields = headers.get_list("www-authenticate")
    digests = [values for scheme, values in _challenges(fields) if scheme == "digest"]
    digests = [values for values in digests if {"realm", "nonce"} <= values.keys()]
    if not digests:
        return headers
    reduced = library.Headers(
        [(name, value) for name, value in headers.raw if name.lower() != b"www-authenticate"],
        encoding=headers.encoding,
    )
    usable = next(filter(_is_usable, digests), None)
    if usable is not None:
        if "qop" in usable:
            usable["qop"] = '"auth"'
        parameters = ", ".join(f"{name}={value}" for name, value in usable.items())
        reduced["www-authenticate"] = f"Digest {parameters}"
    return reduced


def _challenges(fields: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield scheme and parameters of each challenge: names in lower case, values as written."""
    for field in fields:
        position = 0
        while found := _SCHEME.match(field, position):
            position = found.end()
            parameters: dict[str, str] = {}
            while parameter := _PARAMETER.match(field, position):
                parameters.setdefault(parameter[1].lower(), parameter[2])
                position = parameter.end()
            if not parameters and (token := _TOKEN68.match(field, position)):
                position = token.end()
            yield found[1].lower(), parameters


def _is_usable(parameters: dict[str, str]) -> bool:
    algorithm = _unquoted(parameters.get("algorithm", "MD5"))
    qualities = _unquoted(parameters.get("qop", "auth")).lower().split(",")
    return algorithm.upper() in _ALGORITHMS and "auth" in map(str.strip, qualities)


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
