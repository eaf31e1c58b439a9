"""
The options of a fetcher: names, types, defaults, and their validation.

All entry points share one `TypedDict`, for type checkers. A frozen class holds the values given
and the defaults of the others.
"""

from __future__ import annotations

import functools
import inspect
import math
import os
import ssl
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, TypeVar

import attrs
import httpx

from asyncbatch._engine import AddressPolicyTypes, as_policy, check_proxy_resolves
from asyncbatch._policies._host_limits import HostLimits, HostPatterns
from asyncbatch._policies._proxy_pool import ProxyPool
from asyncbatch._policies._rate import Rate, check_rate
from asyncbatch._progress import ProgressTypes, check_progress
from asyncbatch._values._checks import check_count, check_flag, check_function, check_seconds
from asyncbatch._values._folder import ToTypes, check_to
from asyncbatch._values._request import (
    AuthTypes,
    CookieTypes,
    HeaderTypes,
    ParamTypes,
    ProxyTypes,
    TimeoutTypes,
)
from asyncbatch._values._retry import Retry
from asyncbatch._values._retry_policy import check_retry
from asyncbatch._values._telemetry import Telemetry
from asyncbatch._values._timeouts import DEFAULT_CONNECT_TIMEOUT, DEFAULT_TIMEOUT, limits_of

if TYPE_CHECKING:
    # A type checker takes it for `Any` if httpx2 is not installed.
    import httpx2

    ClientTypes: TypeAlias = httpx.AsyncClient | httpx2.AsyncClient
else:  # for libraries that read annotations; httpx2 may not be installed
    ClientTypes = httpx.AsyncClient

CheckTypes: TypeAlias = Callable[[httpx.Response], object] | None

DEFAULT_CONCURRENCY = 100
DEFAULT_MAX_REDIRECTS = 20
DEFAULT_MAX_BODY = 32 * 1024 * 1024


class BatchOptions(TypedDict, total=False):
    """The options about fetching; `Fetcher` explains each of them."""

    concurrency: int
    per_host: int | None
    rate: Rate | None
    total_rate: Rate | None
    hosts: Mapping[str, HostLimits] | None
    retry: Retry | None
    timeout: TimeoutTypes | None
    connect_timeout: float | None
    deadline: float | None
    follow_redirects: bool
    max_redirects: int
    max_body: int | None
    minimum_rate: float | None
    addresses: AddressPolicyTypes
    proxy_resolves: bool
    give_up_host_after: int | None
    check: CheckTypes
    to: ToTypes | None
    progress: ProgressTypes
    telemetry: Telemetry | None


class FetcherOptions(BatchOptions, total=False):
    """
    All options: those about fetching, and those passed to `httpx.AsyncClient`.

    Use it for functions that pass options on: type checkers check a call of
    `def crawl(site: str, **options: Unpack[FetcherOptions])` like one of `fetch_many`. `Fetcher`
    explains each option.
    """

    auth: AuthTypes | None
    params: ParamTypes | None
    headers: HeaderTypes | None
    cookies: CookieTypes | None
    verify: ssl.SSLContext | str | os.PathLike[str] | bool
    cert: str | os.PathLike[str] | tuple[str, str] | tuple[str, str, str] | None
    http1: bool
    http2: bool
    proxy: ProxyTypes | Sequence[ProxyTypes] | ProxyPool | None
    mounts: Mapping[str, httpx.AsyncBaseTransport | None] | None
    limits: httpx.Limits | None
    event_hooks: Mapping[str, list[Callable[..., Any]]] | None
    base_url: str | httpx.URL
    transport: httpx.AsyncBaseTransport | None
    trust_env: bool
    default_encoding: str | Callable[[bytes], str]


CLIENT_DEFAULTS: Mapping[str, Any] = {
    "auth": None,
    "params": None,
    "headers": None,
    "cookies": None,
    "verify": True,
    "cert": None,
    "http1": True,
    "http2": False,
    "proxy": None,
    "mounts": None,
    "limits": None,
    "event_hooks": None,
    "base_url": "",
    "transport": None,
    "trust_env": True,
    "default_encoding": "utf-8",
}
"""
The defaults of the client's options, to be shown in signatures.

They are those of httpx, except for `limits`: `None` stands for limits that fit `concurrency`.
"""


@attrs.frozen
class NotGiven:
    """Placeholder for an option that was not given: the client's setting applies, else `value`."""

    value: Any


def _check_count(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, NotGiven):
        return
    if value is None and attribute.name in ("per_host", "max_body", "give_up_host_after"):
        return
    least = 0 if attribute.name in ("max_redirects", "max_body") else 1
    check_count(attribute.name, value, least=least)


def _check_speed(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    name = attribute.name
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of bytes per second or None, not {value!r}")
    if not 0 < value < math.inf:
        raise ValueError(
            f"{name} must be above 0 bytes per second, not {value!r}; None switches it off"
        )


def _check_rate(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    check_rate(attribute.name, value)


def _to_patterns(value: Any) -> HostPatterns[HostLimits]:
    if isinstance(value, HostPatterns):  # converted before: `attrs.evolve` passes it again
        return value
    patterns: HostPatterns[HostLimits] = HostPatterns({} if value is None else value)
    for limits in patterns.values():
        if not isinstance(limits, HostLimits):
            raise TypeError(
                f"a value of hosts must be an asyncbatch.HostLimits, not {limits!r}; "
                "for two requests at a time, give asyncbatch.HostLimits(per_host=2)"
            )
    return patterns


def _check_retry(_: object, __: object, value: object) -> None:
    check_retry(value)


def _check_time(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, NotGiven):
        check_seconds(attribute.name, value)


def _check_timeout(_: object, __: object, value: object) -> None:
    if not isinstance(value, NotGiven):
        limits_of(value, None)  # type: ignore[arg-type]  # it checks the type


def _check_bool(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, NotGiven):
        check_flag(attribute.name, value)


def _check_addresses(_: object, __: object, value: Any) -> None:
    as_policy(value)


def _check_proxy_resolves(options: Options, __: object, value: object) -> None:
    check_proxy_resolves(value, options.addresses)


def _check_check(_: object, __: object, value: Any) -> None:
    if value is not None:
        check_function("check", value, "a function that takes an httpx.Response, or None")


def _check_to(_: object, __: object, value: Any) -> None:
    if value is not None:
        check_to(value)


def _check_telemetry(_: object, __: object, value: Any) -> None:
    if value is not None and not isinstance(value, Telemetry):
        raise TypeError(
            f"telemetry must be an asyncbatch.telemetry.OpenTelemetry or None, not {value!r}"
        )


def _check_progress(_: object, __: object, value: object) -> None:
    check_progress(value)


@attrs.frozen(kw_only=True)
class Options:
    """The options about fetching, validated."""

    concurrency: int = attrs.field(default=DEFAULT_CONCURRENCY, validator=_check_count)
    per_host: int | None = attrs.field(default=None, validator=_check_count)
    rate: Rate | None = attrs.field(default=None, validator=_check_rate)
    total_rate: Rate | None = attrs.field(default=None, validator=_check_rate)
    hosts: HostPatterns[HostLimits] = attrs.field(default=None, converter=_to_patterns)
    retry: Retry | None = attrs.field(factory=Retry, validator=_check_retry)
    timeout: Any = attrs.field(default=NotGiven(DEFAULT_TIMEOUT), validator=_check_timeout)
    connect_timeout: Any = attrs.field(
        default=NotGiven(DEFAULT_CONNECT_TIMEOUT), validator=_check_time
    )
    deadline: float | None = attrs.field(default=None, validator=_check_time)
    follow_redirects: Any = attrs.field(default=NotGiven(True), validator=_check_bool)
    max_redirects: Any = attrs.field(
        default=NotGiven(DEFAULT_MAX_REDIRECTS), validator=_check_count
    )
    max_body: Any = attrs.field(default=NotGiven(DEFAULT_MAX_BODY), validator=_check_count)
    minimum_rate: float | None = attrs.field(default=None, validator=_check_speed)
    addresses: AddressPolicyTypes = attrs.field(default=None, validator=_check_addresses)
    proxy_resolves: bool = attrs.field(default=False, validator=_check_proxy_resolves)
    give_up_host_after: int | None = attrs.field(default=10, validator=_check_count)
    check: CheckTypes = attrs.field(default=None, validator=_check_check)
    to: ToTypes | None = attrs.field(default=None, validator=_check_to)
    progress: ProgressTypes = attrs.field(default=False, validator=_check_progress)
    telemetry: Telemetry | None = attrs.field(default=None, validator=_check_telemetry)


_NAMES = frozenset(field.name for field in attrs.fields(Options))


F = TypeVar("F", bound=Callable[..., Any])


def shows_options(function: F) -> F:
    """Make the signature of a function with `**options` show each option with its default."""
    signature = inspect.signature(function)
    given = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    function.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*given, *_parameters()]
    )
    return function


@functools.cache
def _parameters() -> list[inspect.Parameter]:
    fields = {field.name: field.default for field in attrs.fields(Options)}
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_shown_default({**fields, **CLIENT_DEFAULTS}[name]),
            annotation=annotation.__forward_arg__,
        )
        for name, annotation in FetcherOptions.__annotations__.items()
    ]


def _shown_default(default: Any) -> Any:
    if isinstance(default, NotGiven):
        return default.value
    # To attrs, a factory of a default is a default.
    return default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]


def split_options(given: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
    """
    Return the validated options about fetching, and the rest, for the client.

    Raises:
        TypeError: If an option is of a wrong type.
        ValueError: If an option has an impossible value.
    """
    own = {name: value for name, value in given.items() if name in _NAMES}
    rest = {name: value for name, value in given.items() if name not in _NAMES}
    if rest.get("limits", True) is None:
        del rest["limits"]
    options = Options(**own)
    affordable = _affordable_concurrency()
    if options.concurrency > affordable:
        if "concurrency" in own:
            warn_caller(
                f"concurrency={options.concurrency} is lowered to {affordable}: half of the "
                "files that this process may open (ulimit -n)"
            )
        options = attrs.evolve(options, concurrency=affordable)
    return options, rest


def warn_caller(message: str) -> None:
    """Warn with the location of the caller outside this package."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_globals["__name__"].startswith("asyncbatch."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, RuntimeWarning, stacklevel=level)


def _affordable_concurrency() -> int:
    """Return half of the number of files that this process may open."""
    try:
        import resource
    except ImportError:  # Windows
        return 2**31
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if soft == resource.RLIM_INFINITY else max(1, soft // 2)
