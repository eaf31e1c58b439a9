"""
The TLS context of a transport: the trusted roots, and the client certificate.

httpx's own function makes it, so that truststore and the environment count as with httpx. Errors
name the option and the path. OpenSSL says only "No such file or directory"; of a folder, nothing.
"""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asyncbatch._engine._errors import is_exhausted

_VARIABLES = {"SSL_CERT_FILE": "file", "SSL_CERT_DIR": "folder"}


def new_context(
    library: Any,
    verify: ssl.SSLContext | str | os.PathLike[str] | bool,
    cert: Any,
    trust_env: bool,
) -> ssl.SSLContext:
    """
    Return the context of `library`, with the certificate that it may leave out.

    httpx 0.28 leaves it out if `verify` is a path (encode/httpx#3441); httpx2 rejects both
    together.

    Raises:
        FileNotFoundError: A path does not exist; the message names the option or variable.
        ValueError: The file or folder cannot be used.
        OSError: This machine has run out of something.
    """
    if isinstance(verify, os.PathLike):  # httpx would take it for a context
        verify = os.fspath(verify)
    source, path = _roots(verify, trust_env)
    # OpenSSL reports neither a missing folder nor an empty path.
    if source is not None and (source == "SSL_CERT_DIR" or not path):
        _require(source, path)
    try:
        context: ssl.SSLContext = library.create_ssl_context(verify=verify, trust_env=trust_env)
    except OSError as exc:
        if source is None or is_exhausted(exc):
            raise
        _require(source, path)
        raise _unusable(exc, source, path) from exc
    if cert:
        _load(context, [cert] if isinstance(cert, str | os.PathLike) else cert)
    return context


def _roots(verify: ssl.SSLContext | str | bool, trust_env: bool) -> tuple[str | None, str]:
    """Return the option or variable that names the roots, and the path; `None` for the default."""
    if isinstance(verify, str):
        return "verify", verify
    if verify is True and trust_env:
        for name in _VARIABLES:
            if path := os.environ.get(name):
                return name, path
    return None, ""


def _require(source: str, path: str) -> None:
    if source == "SSL_CERT_DIR":
        is_there = any(map(os.path.isdir, path.split(os.pathsep)))
    else:
        is_there = bool(path) and Path(path).exists()
    if not is_there:
        kind = _VARIABLES.get(source, "file or folder")
        raise FileNotFoundError(errno.ENOENT, f"{source} names no {kind}", path)


def _load(context: ssl.SSLContext, cert: Sequence[Any]) -> None:
    try:
        context.load_cert_chain(*cert)
    except OSError as exc:
        if is_exhausted(exc):
            raise
        for path in cert[:2]:
            if path is not None and not Path(path).exists():
                raise FileNotFoundError(errno.ENOENT, "cert names no file", str(path)) from exc
        raise _unusable(exc, "cert", cert[0]) from exc


def _unusable(error: OSError, source: str, path: Any) -> ValueError:
    return ValueError(f"{source}={path!r} cannot be used: {error}")
