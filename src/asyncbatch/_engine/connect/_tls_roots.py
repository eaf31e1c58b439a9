"""
The TLS context of a transport: which roots are trusted, and which certificate is shown.

httpx's own function makes it, so that truststore and the environment count as they do there. What
is wrong is told by name here: OpenSSL says "No such file or directory", and of a folder nothing.
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
    Return the context that `library` makes, with the certificate that it may leave out.

    httpx 0.28 does so where `verify` is a path (encode/httpx#3441), and httpx2 refuses the two.

    Raises:
        FileNotFoundError: A path is none; with the option or the variable that names it.
        ValueError: What is there cannot be used.
        OSError: This machine has run out of something.
    """
    if isinstance(verify, os.PathLike):  # which httpx takes for a context
        verify = os.fspath(verify)
    source, path = _roots(verify, trust_env)
    # Of a folder OpenSSL never says that it is missing, nor of a path that is empty.
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
    """Return what names the roots and where they are; `None` where nobody has named any."""
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
