"""Which roots are trusted and which certificate is shown, and what is said where there is none."""

from __future__ import annotations

import errno
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

import asyncbatch
from asyncbatch import FailureKind
from asyncbatch._engine import transport_class
from asyncbatch._engine.connect._tls_roots import new_context
from asyncbatch.testing import LoopbackServer
from tests.raw_server import CLOSING, Peer, serve

pytestmark = [
    pytest.mark.filterwarnings("ignore:`verify=<str>` is deprecated:DeprecationWarning"),
]


class Files:
    """Roots, and a certificate for a client, in files."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.roots, self.client = folder / "roots.pem", folder / "client.pem"
        self.key, self.chain = folder / "key.pem", folder / "chain.pem"
        self.garbage = folder / "garbage.pem"
        self.authority.cert_pem.write_to_path(self.roots)
        certificate = self.authority.issue_cert("me.test")
        certificate.private_key_and_cert_chain_pem.write_to_path(self.client)
        certificate.private_key_pem.write_to_path(self.key)
        certificate.cert_chain_pems[0].write_to_path(self.chain)
        self.garbage.write_text("no certificate")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
async def seen(files: Files) -> AsyncIterator[tuple[str, list[bool]]]:
    """Serve over TLS; the URL, and whether each client has shown a certificate."""
    certificates: list[bool] = []

    async def script(peer: Peer) -> None:
        certificates.append(bool(peer.writer.get_extra_info("peercert")))
        await peer.read_request()
        await peer.send(CLOSING)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    files.authority.issue_cert("127.0.0.1").configure_cert(context)
    files.authority.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    async with serve(script, tls=context) as server:
        yield server.url.replace("http:", "https:"), certificates


@pytest.mark.may_block
@pytest.mark.parametrize("verify", ["path", "Path", "context", "variable", "off"])
@pytest.mark.parametrize("cert", ["one file", "Path", "two files"])
async def test_the_certificate_is_shown_however_the_roots_are_given(
    seen: tuple[str, list[bool]],
    files: Files,
    verify: str,
    cert: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Httpx 0.28 leaves it out where they are a path."""
    monkeypatch.setenv("SSL_CERT_FILE", str(files.roots))
    verifies: dict[str, Any] = {
        "path": str(files.roots),
        "Path": files.roots,
        "context": ssl.create_default_context(cafile=files.roots),
        "variable": True,
        "off": False,
    }
    certs: dict[str, Any] = {
        "one file": str(files.client),
        "Path": files.client,
        "two files": (str(files.chain), str(files.key)),
    }
    url, certificates = seen

    async with asyncbatch.Fetcher(verify=verifies[verify], cert=certs[cert], retry=None) as fetcher:
        result = await fetcher.fetch(url)

    assert result.ok, result
    assert certificates == [True]


@pytest.mark.may_block
@pytest.mark.parametrize("name", ["httpx", "httpx2"])
async def test_a_transport_of_either_library_shows_it(
    name: str, seen: tuple[str, list[bool]], files: Files
) -> None:
    """httpx2 refuses it together with a path."""
    library = pytest.importorskip(name)
    url, certificates = seen
    transport = transport_class(library)(verify=str(files.roots), cert=str(files.client))
    async with library.AsyncClient(transport=transport) as client:
        await client.get(url)

    assert certificates == [True]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"verify": ""}, FileNotFoundError, "verify names no file.*''"),
        ({"verify": "/no/such.pem"}, FileNotFoundError, "verify names no file.*'/no/such.pem'"),
        ({"cert": "/no/such.pem"}, FileNotFoundError, "cert names no file.*'/no/such.pem'"),
        (
            {"cert": ("{client}", "/no/key.pem")},
            FileNotFoundError,
            "cert names no file.*'/no/key.pem'",
        ),
        ({"verify": "{garbage}"}, ValueError, "verify='.*garbage.pem' cannot be used"),
        ({"cert": "{garbage}"}, ValueError, "cert='.*garbage.pem' cannot be used"),
        ({"cert": ("{chain}", "{garbage}")}, ValueError, "cert='.*chain.pem' cannot be used"),
    ],
)
def test_a_path_that_is_none_is_named_at_once(
    options: dict[str, Any], error: type[Exception], words: str, files: Files
) -> None:
    """With its option, and nothing is sent."""

    def filled(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(filled, value))
        return value.format(**{name: str(path) for name, path in vars(files).items()})

    with pytest.raises(error, match=words):
        asyncbatch.Fetcher(**{name: filled(value) for name, value in options.items()})


@pytest.mark.parametrize("headers", [{}, {"upgrade": "echo"}], ids=["engine", "httpcore"])
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SSL_CERT_FILE", "/no/roots.pem", "SSL_CERT_FILE names no file: '/no/roots.pem'"),
        ("SSL_CERT_DIR", "/no/a:/no/b", "SSL_CERT_DIR names no folder: '/no/a:/no/b'"),
        ("SSL_CERT_FILE", "{garbage}", "garbage.pem' cannot be used"),
    ],
)
async def test_roots_of_the_environment_that_are_none_are_named(
    name: str,
    value: str,
    words: str,
    headers: dict[str, str],
    files: Files,
    server: LoopbackServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is tried again for it, the host is not blamed, and http goes on."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv(name, value.format(garbage=files.garbage))
    options: dict[str, Any] = {"concurrency": 1, "give_up_host_after": 2}
    request = asyncbatch.Request(f"https://127.0.0.1:{server.port}/", headers=headers)

    async with asyncbatch.Fetcher(**options) as fetcher:
        results = await fetcher.fetch_many([request] * 5)
        plain = await fetcher.fetch(server.url())

    assert {(result.kind, result.attempts) for result in results} == {(FailureKind.tls, 1)}
    assert all(words in str(result.error) for result in results)
    assert plain.ok


async def test_a_folder_of_roots_that_is_there_is_taken(
    tmp_path: Path, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of several will do; that a host is not known there is its own matter."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", f"/no/such:{tmp_path}")

    async with asyncbatch.Fetcher(retry=None) as fetcher:
        result = await fetcher.fetch(f"https://127.0.0.1:{server.port}/")

    assert result.kind == FailureKind.tls
    assert "names no" not in str(result.error)


@pytest.mark.parametrize(
    ("fails", "verify", "code"),
    [
        ("roots", "/no/such.pem", errno.EMFILE),
        ("roots", False, errno.EACCES),
        ("certificate", False, errno.EMFILE),
    ],
)
def test_no_file_is_blamed_for_what_is_not_its_fault(
    fails: str, verify: str | bool, code: int
) -> None:
    """A process without descriptors opens no file, and the library reads files of its own."""

    def fail(*_: object, **__: object) -> object:
        raise OSError(code, "the system's own words")

    context = SimpleNamespace(load_cert_chain=fail)
    make = fail if fails == "roots" else lambda **_: context
    with pytest.raises(OSError, match="the system's own words") as caught:
        new_context(SimpleNamespace(create_ssl_context=make), verify, "/no/cert.pem", False)

    assert caught.value.errno == code
