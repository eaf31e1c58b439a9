"""
The certificates of the server, and the authority that a client must trust.
"""

from __future__ import annotations

import functools
import ssl
from datetime import UTC, datetime, timedelta

import trustme

HOST = "127.0.0.1"


class Trust:
    """One authority, and the contexts of servers with each kind of certificate."""

    def __init__(self) -> None:
        self.authority = trustme.CA()
        self._stranger = trustme.CA()

    @functools.cached_property
    def client_context(self) -> ssl.SSLContext:
        """What a client in Python needs to trust the server."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    @functools.cache  # noqa: B019  # as long-lived as the process
    def server_context(self, name: str) -> ssl.SSLContext:
        """
        Return the context of a server.

        Args:
            name: `valid`, `expired`, `not yet valid`, `wrong host` or `unknown authority`; the
                same with ` over TLS 1.1` for one that speaks nothing newer.
        """
        name, _, version = name.partition(" over ")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._certificate(name).configure_cert(context)
        if version:
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = ssl.TLSVersion[
                version.replace(" ", "v").replace(".", "_")
            ]
        return context

    def _certificate(self, name: str) -> trustme.LeafCert:
        now = datetime.now(UTC)
        day = timedelta(days=1)
        match name:
            case "valid":
                return self.authority.issue_cert(HOST)
            case "expired":
                return self.authority.issue_cert(
                    HOST, not_before=now - 9 * day, not_after=now - day
                )
            case "not yet valid":
                return self.authority.issue_cert(HOST, not_before=now + day)
            case "wrong host":
                return self.authority.issue_cert("elsewhere.test")
            case "unknown authority":
                return self._stranger.issue_cert(HOST)
        raise ValueError(f"no such certificate: {name!r}")
