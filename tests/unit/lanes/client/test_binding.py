"""Our requests and errors in the terms of httpx and of httpx2."""

from __future__ import annotations

import enum
import pickle
from typing import Any

import httpx
import pytest

from asyncbatch import BodyTooLarge, Request
from asyncbatch._lanes.client import _binding
from asyncbatch._lanes.client._binding import (
    Binding,
    binding_of,
    by_value,
    readable,
    with_host,
)
from asyncbatch._lanes.request._upload import Body
from asyncbatch._values._timeouts import limits_of

EMOJI = "http://xn--i-7iq.test"


class Word(str, enum.Enum):  # noqa: UP042  # `str` of a StrEnum is its value
    """Texts that are more than that."""

    ONE = "one"


class Number(float, enum.Enum):
    """Numbers that are more than that."""

    HALF = 0.5


@pytest.fixture
def binding(library: Any) -> Binding:
    return binding_of(library.AsyncClient())


def build(binding: Binding, request: Request, **options: Any) -> Any:
    """Build a request by a client with these options."""
    client = binding.library.AsyncClient(**options)
    return binding.build(client, request, Body(request), limits_of(5.0, 2.0))


def test_a_client_is_bound_by_its_library(library: Any) -> None:
    """A subclass of the caller's too; each library has one binding."""

    class Client(library.AsyncClient):  # type: ignore[misc]
        pass

    binding = binding_of(Client())
    assert binding.library is library
    assert binding_of(library.AsyncClient()) is binding


@pytest.mark.parametrize("client", [None, "client", httpx.Client(), object()])
def test_what_is_no_async_client_is_refused(client: object) -> None:
    """By the type that it should have."""
    with pytest.raises(TypeError, match=r"httpx\.AsyncClient"):
        binding_of(client)


def test_our_errors_are_errors_of_the_library(binding: Binding) -> None:
    """For httpx they are the public classes themselves."""
    error_type = binding.error(BodyTooLarge)

    assert issubclass(error_type, BodyTooLarge)
    assert issubclass(error_type, binding.library.HTTPError)
    assert binding.library is not httpx or error_type is BodyTooLarge


def test_auth_takes_each_form_that_httpx_takes(binding: Binding) -> None:
    """A pair, a function, an `Auth`, or none."""
    library = binding.library
    own = library.DigestAuth("u", "p")

    def sign(request: Any) -> Any:
        request.headers["x-signed"] = "yes"
        return request

    assert binding.auth(None) is None
    assert binding.auth(own) is own
    request = library.Request("GET", "http://a.test/")
    next(binding.auth(("u", "p")).auth_flow(request))
    next(binding.auth(sign).auth_flow(request))
    assert request.headers["authorization"] == "Basic dTpw"
    assert request.headers["x-signed"] == "yes"


@pytest.mark.parametrize("auth", ["secret", ("u", "secret", "x"), 5, ["u", "secret"]])
def test_what_is_no_auth_is_refused_without_being_shown(binding: Binding, auth: Any) -> None:
    """It may be a secret."""
    with pytest.raises(TypeError, match=type(auth).__name__) as caught:
        binding.auth(auth)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (Word.ONE, "one"),
        ({Word.ONE: [Word.ONE, 1]}, {"one": ["one", 1]}),
        ((Number.HALF, None), (0.5, None)),
        (True, True),
        (b"x", b"x"),
    ],
)
def test_what_is_more_than_a_text_is_taken_by_its_value(given: Any, value: Any) -> None:
    """`str` of a member of an Enum is its name."""
    assert by_value(given) == value
    assert type(by_value(given)) is type(value)


@pytest.mark.parametrize(
    ("url", "params", "client_params", "target"),
    [
        ("http://a.test/?a=1", None, None, b"/?a=1"),
        ("http://a.test/?a=1", {"b": 2}, None, b"/?a=1&b=2"),
        ("http://a.test/?a=1", None, {"c": 3}, b"/?a=1&c=3"),
        ("http://a.test/?a=1", {"c": 2}, {"c": 3, "d": 4}, b"/?a=1&c=2&d=4"),
        ("http://a.test/?a=1", {"c": []}, {"c": 3, "d": 4}, b"/?a=1&d=4"),
        ("http://a.test/", {"e": Word.ONE}, None, b"/?e=one"),
        ("http://a.test/?a=1", {}, None, b"/?a=1"),
        ("http://a.test/?", {"b": [1, 2]}, None, b"/?b=1&b=2"),
    ],
)
def test_parameters_are_added_to_the_query(
    binding: Binding, url: str, params: Any, client_params: Any, target: bytes
) -> None:
    """Httpx would drop that of the URL."""
    native = build(binding, Request(url, params=params), params=client_params)

    assert native.url.raw_path == target


def test_what_is_added_to_a_query_is_known_without_building(binding: Binding) -> None:
    """For who puts a head together."""
    client = binding.library.AsyncClient(params={"c": 3})

    assert binding.added_query(client, {"b": 2}) == "c=3&b=2"
    assert binding.added_query(client, None) == "c=3"
    assert binding.added_query(binding.library.AsyncClient(), {"b": Word.ONE}) == "b=one"
    assert binding.query_of(None) == ""
    with pytest.raises(TypeError, match="params"):
        binding.query_of({"b": object()})


def test_a_request_is_built_with_all_that_it_has(binding: Binding) -> None:
    """And with the limits of the attempt."""
    request = Request(
        Word.ONE, "POST", headers={"x": "y"}, cookies={"c": Word.ONE}, data={"f": Word.ONE}
    )
    native = build(binding, request, base_url="http://a.test/v1/")

    assert (native.method, str(native.url)) == ("POST", "http://a.test/v1/one")
    assert (native.headers["x"], native.headers["cookie"]) == ("y", "c=one")
    assert native.read() == b"f=one"
    assert native.extensions["timeout"] == limits_of(5.0, 2.0).by_phase()


def test_cookies_of_httpx_are_taken_by_either_library(binding: Binding) -> None:
    """Httpx2 reads no jar of httpx's."""
    cookies = httpx.Cookies({"c": "d"})

    assert build(binding, Request("http://a.test/", cookies=cookies)).headers["cookie"] == "c=d"


def test_a_range_is_asked_for_as_it_is(binding: Binding) -> None:
    """A part of an encoded body cannot be decoded; who names codings has meant them."""
    part, named = {"range": "bytes=0-1"}, {"range": "bytes=0-1", "accept-encoding": "br"}

    built = [
        build(binding, Request("http://a.test/", headers=headers)) for headers in (part, named)
    ]

    assert [native.headers["accept-encoding"] for native in built] == ["identity", "br"]


@pytest.mark.parametrize("url", ["http://u:S3cr3t@[::x]/", "http://u:S3cr3t@a.test:x/"])
def test_the_error_of_a_url_has_no_password(binding: Binding, url: str) -> None:
    """Httpx quotes what it cannot read."""
    with pytest.raises(binding.library.InvalidURL) as caught:
        build(binding, Request(url))
    with pytest.raises(binding.library.InvalidURL) as located:
        binding.located(binding.library.AsyncClient(), url)

    assert "S3cr3t" not in str(caught.value) + str(located.value)


def test_a_url_is_located_as_the_client_asks_for_it(binding: Binding) -> None:
    """One that is relative stays so where the client has no base."""
    client = binding.library.AsyncClient(base_url="http://a.test/v1/")

    assert str(binding.located(client, "x?y")) == "http://a.test/v1/x?y"
    assert binding.located(client, " http://b.test:81/\n").host == "b.test"
    assert str(binding.located(binding.library.AsyncClient(), "/x")) == "/x"


def test_an_error_of_a_client_of_the_callers_is_raised_as_it_is(binding: Binding) -> None:
    """Only a URL without a scheme is taken as it is."""

    class Client(binding.library.AsyncClient):  # type: ignore[misc,name-defined]  # at run time
        def build_request(self, *given: Any, **more: Any) -> Any:
            raise ValueError("not this one")

    with pytest.raises(ValueError, match="not this one"):
        binding.located(Client(), "http://a.test/")

    assert str(binding.located(Client(), "/x")) == "/x"


def test_only_so_many_time_limits_are_kept(
    binding: Binding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those after them are kept instead, and are no others."""
    monkeypatch.setattr(_binding, "_MOST_TIMEOUTS", 2)
    client = binding.library.AsyncClient()
    seconds = [1.0, 2.0, 3.0, 1.0]
    built = [
        binding.build_plain(client, "http://a.test/", limits_of(9.0, each)) for each in seconds
    ]

    assert [native.extensions["timeout"]["connect"] for native in built] == seconds
    assert len(binding._timeouts) <= 2


def test_a_host_that_idna_does_not_know_can_be_read(binding: Binding) -> None:
    """Thousands of sites have such names; httpx raises at them."""
    library = binding.library
    url = readable(library.URL(EMOJI + "/a"), library)
    plain = library.URL("http://a.test/")

    assert url.host == "xn--i-7iq.test"
    assert str(url.copy_with(path="/b")) == EMOJI + "/b"
    assert type(pickle.loads(pickle.dumps(url))) is library.URL
    assert readable(plain, library) is plain


def test_such_a_host_is_named_by_us(binding: Binding) -> None:
    """Httpx decodes it to see whether there is one; a `Host` of the caller's stays."""
    library = binding.library
    native = build(binding, Request(EMOJI + ":81/a"))
    own = build(binding, Request(EMOJI + "/a", headers={"host": "other.test"}))

    assert native.headers["host"] == "xn--i-7iq.test:81"
    assert own.headers["host"] == "other.test"
    assert with_host([("x", "y")], library.URL("http://a.test/"), library) == [("x", "y")]
    assert build(binding, Request("/a"), base_url=EMOJI).headers["host"] == "xn--i-7iq.test"


def test_an_emoji_is_put_into_ascii_where_httpx_refuses_it(binding: Binding) -> None:
    """What it takes, it is given."""
    assert binding.url("http://i\u2764\ufe0f.test/a") == EMOJI + "/a"
    assert binding.url("http://m\xfcnchen.test/") == "http://m\xfcnchen.test/"
    own = binding.library.URL("http://a.test/")
    assert binding.url(own) is own


def test_a_request_of_the_library_is_copied(binding: Binding) -> None:
    """Hooks and authentication write into what is sent."""
    library = binding.library
    given = library.Request("PUT", "http://a.test/", content=b"body", extensions={"x": 1})
    request = Request.of(given)
    copy = binding.prepared(request)
    copy.headers["x"] = "y"
    copy.extensions["z"] = 2

    assert type(copy) is library.Request
    assert (copy.method, copy.content) == ("PUT", b"body")
    assert "x" not in given.headers
    assert given.extensions == {"x": 1}


def test_a_request_of_the_other_library_is_translated(binding: Binding) -> None:
    """With its fields and its body."""
    others = pytest.importorskip("httpx2" if binding.library is httpx else "httpx")
    given = others.Request("PUT", "http://a.test/", headers={"x": "y"}, content=b"body")
    copy = binding.prepared(Request.of(given))

    assert type(copy) is binding.library.Request
    assert (copy.method, copy.headers["x"], copy.content) == ("PUT", "y", b"body")


def test_a_request_that_was_pickled_has_its_body_or_says_so(binding: Binding) -> None:
    """Httpx pickles none that is produced."""
    library = binding.library

    def pieces() -> Any:
        yield b"x"

    read = pickle.loads(pickle.dumps(library.Request("PUT", "http://a.test/", content=b"body")))
    unread = pickle.loads(pickle.dumps(library.Request("PUT", "http://a.test/", content=pieces())))

    assert binding.prepared(Request.of(read)).content == b"body"
    with pytest.raises(TypeError, match="pickle"):
        binding.prepared(Request.of(unread))


@pytest.mark.parametrize("location", ["http://[", "http://a b.test", "/fine"])
def test_a_location_that_is_no_url_is_an_error_of_httpxs(binding: Binding, location: str) -> None:
    """With its request, and with what is wrong, as far as httpx says that."""
    library = binding.library
    request = library.Request("GET", "http://a.test/")
    response = library.Response(302, headers={"location": location}, request=request)
    error = binding.invalid_location(response)

    assert isinstance(error, library.RemoteProtocolError)
    assert error.request is request
    assert str(error).startswith("Invalid URL in location header")
