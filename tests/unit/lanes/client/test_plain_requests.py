"""Plain requests: what the client's `build_request` returns, made without its steps."""

from __future__ import annotations

from http.cookiejar import CookieJar
from typing import Any
from unittest import mock

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._lanes.client import _plain_requests
from asyncbatch._lanes.client._binding import binding_of
from asyncbatch._lanes.client._own_client import OwnClient
from asyncbatch._lanes.client._plain_requests import PlainRequests
from asyncbatch._lanes.request._native import is_laid_out_as
from asyncbatch._values._timeouts import TimeLimits

LIMITS = TimeLimits(30.0, connect=10.0, read=5.0)
URL = "http://a.test/x?y=1"

URLS = st.one_of(
    st.sampled_from(
        [
            *("http://a.test/", "https://a.test:8443/x/y?z=?&a=%20", "http://a.test:80/x"),
            *("http://a.test", "http://a.test?q", "http://a.test/a#b", "http://a.test/é"),
            *("http://u:p@a.test/", "HTTP://A.test/", "http://[::1]:80/", "/relative"),
            *("http://xn--a-ecp.test/", "http://a.test/../b", "http://a.test/ b", "x://a.test/"),
        ]
    ),
    st.text("ab/.?=&%4:;'", max_size=12).map("http://a.test/{}".format),
)
NAMES = st.sampled_from(
    ["Accept", "user-agent", "x-A", "X-a", "Host", "Range", "Content-Type", "Content-Length"]
)
HEADERS = st.lists(st.tuples(NAMES, st.sampled_from(["", "1", "a/b; boundary=x"])), max_size=4)


def learned(client: Any, *urls: str) -> PlainRequests:
    """Return the plain requests of a client that has built one for each URL."""
    binding = binding_of(client)
    plain_requests = PlainRequests(client, binding.library)
    for url in urls or (URL,):
        try:
            native = binding.build_plain(client, url, LIMITS)
        except Exception:
            continue
        if native is not None:
            plain_requests.learn(native, url, LIMITS)
    return plain_requests


@given(URLS, URLS, HEADERS)
def test_a_request_that_is_made_is_the_one_that_the_client_builds(
    first: str, url: str, headers: list[tuple[str, str]]
) -> None:
    """In all its attributes, with the order and the case of its headers."""
    client = httpx.AsyncClient(headers=headers, verify=False)
    made = learned(client, first, url).make(url, LIMITS)
    if made is None:
        return
    built = binding_of(client).build_plain(client, url, LIMITS)

    assert is_laid_out_as(made, built)
    assert made.headers.raw == built.headers.raw
    assert list(made.extensions["timeout"].items()) == list(built.extensions["timeout"].items())


def test_plain_requests_are_made_for_known_origins(library: Any) -> None:
    """The first one to each origin is the client's, the others are not built."""
    plain_requests = learned(library.AsyncClient(verify=False))

    assert plain_requests.make(URL, LIMITS) is not None
    assert plain_requests.make("http://a.test/other", LIMITS) is not None
    assert plain_requests.make("http://b.test/x", LIMITS) is None
    assert plain_requests.make("https://a.test/x", LIMITS) is None


def test_plain_requests_of_our_own_client_are_made() -> None:
    """Its jar and its property for cookies are known."""
    assert learned(OwnClient(verify=False)).make(URL, LIMITS) is not None


def test_changing_a_request_does_not_change_the_next(library: Any) -> None:
    """Each has headers, extensions and a URL of its own."""
    plain_requests = learned(library.AsyncClient(verify=False))
    first = plain_requests.make(URL, LIMITS)
    before = first.headers.raw
    first.headers["x-new"] = first.headers["Accept"] = "1"
    del first.headers["User-Agent"]
    first.extensions["timeout"]["read"] = 0.0
    first.extensions["more"] = 1
    first.url, first.method = library.URL("http://c.test/"), "POST"
    second = plain_requests.make(URL, LIMITS)

    assert second.headers.raw == before
    assert second.extensions == {"timeout": LIMITS.by_phase()}
    assert (second.method, str(second.url)) == ("GET", URL)


def add_header(client: Any) -> None:
    client.headers["x-late"] = "1"


def replace_headers(client: Any) -> None:
    client.headers = {"x-other": "1"}


def set_cookie(client: Any) -> None:
    client.cookies.set("a", "1")


def replace_jar(client: Any) -> None:
    class Jar(CookieJar):
        """The caller's own, with rules of its own."""

    client.cookies = Jar()


def set_params(client: Any) -> None:
    client.params = {"a": "1"}


def replace_method(client: Any) -> None:
    build_request = client.build_request
    client.build_request = lambda *given, **more: build_request(*given, **more)


CHANGES = [add_header, replace_headers, set_cookie, replace_jar, set_params, replace_method]


@pytest.mark.parametrize("change", CHANGES)
def test_a_client_that_has_changed_builds_the_next_request(library: Any, change: Any) -> None:
    """Headers, cookies, parameters and methods may change at any time."""
    client = library.AsyncClient(verify=False)
    plain_requests = learned(client)
    assert plain_requests.make(URL, LIMITS) is not None
    change(client)

    assert plain_requests.make(URL, LIMITS) is None


def test_new_headers_are_in_the_requests_after_the_next(library: Any) -> None:
    """The client builds one with them, and the others are made."""
    client = library.AsyncClient(verify=False)
    plain_requests = learned(client)
    client.headers["x-late"] = "1"
    plain_requests.learn(binding_of(client).build_plain(client, URL, LIMITS), URL, LIMITS)

    assert plain_requests.make(URL, LIMITS).headers["x-late"] == "1"


PATCHED = [
    *("AsyncClient.build_request", "AsyncClient._merge_url", "AsyncClient._merge_headers"),
    *("AsyncClient._merge_cookies", "AsyncClient._merge_queryparams", "Request.__init__"),
    *("URL.__init__", "Headers.__init__", "Headers.update", "Timeout.as_dict", "_client.Request"),
    *("_client.Headers", "_client.URL", "_models.encode_request"),
]


@pytest.mark.parametrize("name", PATCHED)
def test_patched_code_of_httpx_is_called(library: Any, name: str) -> None:
    """Whatever takes part in building a request may be replaced, before or after the first."""
    client = library.AsyncClient(verify=False)
    plain_requests = learned(client)
    assert plain_requests.make(URL, LIMITS) is not None
    with mock.patch(f"{library.__name__}.{name}", autospec=True):
        assert plain_requests.make(URL, LIMITS) is None
    native = binding_of(client).build_plain(client, URL, LIMITS)
    plain_requests.learn(native, URL, LIMITS)
    assert plain_requests.make(URL, LIMITS) is not None


def test_a_subclass_that_builds_requests_itself_is_called(library: Any) -> None:
    """Its first request would say nothing about the others."""

    class Client(library.AsyncClient):  # type: ignore[misc]  # chosen at run time
        def build_request(self, *given: Any, **more: Any) -> Any:
            return super().build_request(*given, **more)

    assert learned(Client(verify=False)).make(URL, LIMITS) is None


@pytest.mark.parametrize("name", ["headers", "cookies", "params"])
def test_a_subclass_with_properties_of_its_own_is_called(library: Any, name: str) -> None:
    """They may return something else each time."""
    theirs = getattr(library.AsyncClient, name)
    own = property(lambda self: theirs.fget(self), theirs.fset)
    client = type("Client", (library.AsyncClient,), {name: own})(verify=False)

    assert learned(client).make(URL, LIMITS) is None


def test_a_host_among_the_headers_stays_in_its_place(library: Any) -> None:
    """The client builds all requests then."""
    client = library.AsyncClient(headers={"Host": "b.test"}, verify=False)

    assert learned(client).make(URL, LIMITS) is None


def test_only_so_many_origins_are_remembered(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one after them makes room by dropping all, which are learned again."""
    monkeypatch.setattr(_plain_requests, "_MAX_ORIGINS", 2)
    urls = [f"http://{host}.test/" for host in "abc"]
    plain_requests = learned(library.AsyncClient(verify=False), *urls)

    assert [plain_requests.make(url, LIMITS) is None for url in urls] == [True, True, False]


@pytest.mark.parametrize("name", ["Timeout.as_dict", "_models.encode_request"])
def test_a_release_without_a_known_name_is_called(
    library: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client builds all requests."""
    client = library.AsyncClient(verify=False)
    plain_requests = learned(client)
    monkeypatch.delattr(f"{library.__name__}.{name}")

    assert plain_requests.make(URL, LIMITS) is None
