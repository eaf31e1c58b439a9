"""Options that are passed to httpx: by name, by type, and without showing a secret."""

from __future__ import annotations

import contextlib
import inspect
import ssl
from typing import Any

import httpx
import pytest

from asyncbatch import HTTPTransport
from asyncbatch._api._client_options import check_client_options

TRANSPORT = HTTPTransport()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"auth": ("u", "p"), "base_url": "http://a.test", "cert": "/file", "cookies": {"a": "b"}},
        {"auth": httpx.BasicAuth("u", "p"), "base_url": httpx.URL("/"), "cert": ("/a", "/b")},
        {"auth": print, "cookies": httpx.Cookies(), "headers": [("a", "b")], "params": {"a": 1}},
        {"event_hooks": {"request": [print], "response": ()}, "default_encoding": "latin-1"},
        {"http1": True, "http2": False, "trust_env": False, "verify": False},
        {"limits": httpx.Limits(), "transport": TRANSPORT, "mounts": {"all://": TRANSPORT}},
        {"mounts": {"http://a": None}, "proxy": "SOCKS5://a:1", "verify": "/file"},
        {"proxy": httpx.Proxy("http://a"), "verify": ssl.create_default_context()},
        {"default_encoding": lambda _: "utf-8", "timeout": 5},
        dict.fromkeys(["auth", "cert", "cookies", "event_hooks", "headers", "mounts", "proxy"]),
    ],
)
def test_what_httpx_takes_is_taken(options: dict[str, Any]) -> None:
    """And not looked at any further."""
    check_client_options(options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("auth", 5),
        ("base_url", None),
        ("cert", 5),
        ("cookies", 5),
        ("default_encoding", None),
        ("event_hooks", {"request": print}),
        ("event_hooks", [print]),
        ("headers", "a: b"),
        ("http1", None),
        ("http2", 1),
        ("limits", 5),
        ("mounts", {"all://": 5}),
        ("mounts", [TRANSPORT]),
        ("proxy", 5),
        ("transport", print),
        ("trust_env", "no"),
        ("verify", None),
    ],
)
def test_a_wrong_type_is_refused_by_the_name_of_the_option(name: str, value: Any) -> None:
    """Httpx fails later, or not at all."""
    with pytest.raises(TypeError, match=rf"^{name} must be "):
        check_client_options({name: value})


@pytest.mark.parametrize("name", ["auth", "cert", "cookies", "headers", "params", "proxy"])
def test_what_may_be_a_secret_is_told_by_its_type(name: str) -> None:
    """Not by its value."""

    class Wrong:
        def __repr__(self) -> str:
            return "S3cr3t"

    with pytest.raises(TypeError, match=name) as caught:
        check_client_options({name: Wrong()})

    assert "S3cr3t" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["127.0.0.1:3128", "ftp://a", "http://", "http://u:S3cr3t@"])
def test_a_proxy_that_is_none_is_refused_without_its_password(proxy: str) -> None:
    """Httpx would quote it."""
    with pytest.raises(ValueError, match="proxy must be a URL") as caught:
        check_client_options({"proxy": proxy})

    assert "S3cr3t" not in str(caught.value)


def test_an_encoding_that_python_does_not_know_is_refused() -> None:
    """Nor is one of bytes an encoding of text."""
    for name in ("nonsense", "base64"):
        with pytest.raises(ValueError, match="default_encoding"):
            check_client_options({"default_encoding": name})


@pytest.mark.parametrize(
    ("name", "hint"),
    [("concurency", "'concurrency'"), ("header", "'headers'"), ("nonsense", None), ("self", None)],
)
def test_an_unknown_option_is_refused_with_what_may_be_meant(name: str, hint: str | None) -> None:
    """One of ours, or of httpx's."""
    with pytest.raises(TypeError, match=f"unknown option '{name}'") as caught:
        check_client_options({name: 1})

    assert hint is None or f"did you mean {hint}" in str(caught.value)


@pytest.mark.parametrize(
    "name", [name for name in inspect.signature(httpx.AsyncClient).parameters if name != "self"]
)
def test_each_option_of_httpx_is_known(name: str) -> None:
    """Of the version that there is; each is refused for its type at most."""
    with contextlib.suppress(TypeError):
        check_client_options({name: None})
    with pytest.raises(TypeError, match=f"unknown option '{name}x'"):
        check_client_options({f"{name}x": None})


def test_a_report_of_a_list_is_no_option() -> None:
    """The message says how there is one."""
    with pytest.raises(TypeError, match=r"results\.report\(path\)"):
        check_client_options({"report": "f.html"})
