"""
The certificates of the server, and the authority that a client must trust.
"""

from __future__ import annotations

import functools
import ipaddress
import ssl
import tempfile
import warnings
from datetime import UTC, datetime, timedelta

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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
            name: `valid`, or one of the names in `_certificate`; the same with ` over TLS 1.1` for
                one that speaks nothing newer, with ` and asks for one` for one that demands a
                client's certificate, and with ` without its issuer` for one that sends the
                leaf of a chain alone.
        """
        name, _, version = name.partition(" over ")
        name, _, demands = name.partition(" and asks")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._configure(context, name)
        if demands:
            context.verify_mode = ssl.CERT_REQUIRED
            self.authority.configure_trust(context)
        if version:
            context.set_ciphers("ALL:@SECLEVEL=0")
            name = version.replace(" ", "v").replace(".", "_")
            with warnings.catch_warnings():
                # Old versions are what some cases are about.
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = context.maximum_version = ssl.TLSVersion[name]
        return context

    def _configure(self, context: ssl.SSLContext, name: str) -> None:
        if name == "self-signed":
            _load(context, *self_signed(HOST))
        elif name == "without its issuer":
            leaf = self.authority.create_child_ca().issue_cert(HOST)
            _load(context, leaf.private_key_pem.bytes(), leaf.cert_chain_pems[0].bytes())
        else:
            self._certificate(name).configure_cert(context)

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
            case "from an intermediate":
                return self.authority.create_child_ca().issue_cert(HOST)
            case "common name only":
                return self.authority.issue_cert(common_name=HOST)
            case "another address":
                return self.authority.issue_cert("127.0.0.2", "::1")
            case "name of the address":
                return self.authority.issue_cert("localhost")
            case "wrong host":
                return self.authority.issue_cert("elsewhere.test")
            case "unknown authority":
                return self._stranger.issue_cert(HOST)
        raise ValueError(f"no such certificate: {name!r}")


def self_signed(host: str) -> tuple[bytes, bytes]:
    """Return the key and the certificate of a host that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(encoding)


def _load(context: ssl.SSLContext, key: bytes, certificate: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(key + certificate)
        file.flush()
        context.load_cert_chain(file.name)
