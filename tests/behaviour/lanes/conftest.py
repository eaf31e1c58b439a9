"""The libraries, and the server with TLS, that tests of single lanes have too."""

from __future__ import annotations

from tests.unit.lanes.conftest import client, httpx_client, library, tls_server

__all__ = ["client", "httpx_client", "library", "tls_server"]
