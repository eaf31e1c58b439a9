"""
Address policies: which addresses may be connected to.

Pure. A policy judges the resolved address, never the spelling in the URL, and the connection goes
to that same address.
"""

from __future__ import annotations

import inspect
import ipaddress
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal, TypeAlias

from asyncbatch._engine._errors import AddressRefused
from asyncbatch._values._checks import check_flag

IPAddress: TypeAlias = IPv4Address | IPv6Address
AddressPolicy: TypeAlias = Callable[[IPAddress], bool]
AddressPolicyTypes: TypeAlias = AddressPolicy | Literal["public"] | None

# Written out, since `ipaddress.is_global` differs between Python releases.
_NOT_PUBLIC_V4 = tuple(
    IPv4Network(text)
    for text in (
        # The blocks of the IANA IPv4 Special-Purpose Address Registry (RFC 6890).
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
        # The same registry calls these globally reachable (AS112, AMT, the former relays of 6to4;
        # also 192.0.0.9 and .10 above). But the nearest server answers, which may be one in our own
        # network.
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.175.48.0/24",
        # Multicast (RFC 5771).
        "224.0.0.0/4",
        # A public number, but on Azure the host below each virtual machine answers it.
        "168.63.129.16/32",
    )
)

_GLOBAL_UNICAST = IPv6Network("2000::/3")
# Inside 2000::/3, from the IANA IPv6 registry: protocol assignments (Teredo, benchmarking, AMT,
# ORCHID, DRIP), documentation, AS112.
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20")
)
_NAT64 = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")

# The upper half of an interface identifier of ISATAP (RFC 5214 §6.1), its two flag bits left out.
_ISATAP = 0x0000_5EFE
_ISATAP_MASK = 0xFCFF_FFFF

_LOW_32_BITS = 0xFFFF_FFFF


def is_public(address: IPAddress) -> bool:
    """
    Return whether an address is public; this is the policy of `addresses="public"`.

    The answer is the same on every release of Python. No block of the IANA special-purpose
    registries is public, not even those that they call globally reachable, since the nearest
    network answers for those. An IPv4 address inside an IPv6 one (mapped, NAT64, 6to4, ISATAP) must
    be public itself.

    To allow more or less, build a policy on it:

        Fetcher(addresses=lambda address: is_public(address) and address not in OURS)
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    address = _plain(address)
    if isinstance(address, IPv4Address):
        return is_public(address)
    number = int(address)
    if address in _NAT64:
        return is_public(IPv4Address(number & _LOW_32_BITS))
    if address not in _GLOBAL_UNICAST or any(address in network for network in _NOT_PUBLIC_V6):
        return False
    if address in _SIX_TO_FOUR and not is_public(IPv4Address(number >> 80 & _LOW_32_BITS)):
        return False
    if number >> 32 & _ISATAP_MASK == _ISATAP:
        return is_public(IPv4Address(number & _LOW_32_BITS))
    return True


def as_policy(addresses: AddressPolicyTypes) -> AddressPolicy | None:
    """
    Return the policy for an argument `addresses`; `None` if every address is allowed.

    Raises:
        TypeError: It is not a callable, `None` or `"public"`, or it is a coroutine function.
    """
    if addresses == "public":
        return is_public
    if addresses is not None and not callable(addresses):
        raise TypeError(f"addresses must be 'public', a callable or None, not {addresses!r}")
    if inspect.iscoroutinefunction(addresses):
        raise TypeError(f"addresses must be a callable that answers at once, not {addresses!r}")
    return addresses


def check_proxy_resolves(proxy_resolves: object, addresses: AddressPolicyTypes) -> None:
    """
    Check an argument `proxy_resolves`.

    Raises:
        TypeError: It is not True or False.
        ValueError: It is True, and there is nothing that it could allow.
    """
    check_flag("proxy_resolves", proxy_resolves)
    if proxy_resolves and addresses is None:
        raise ValueError(
            "proxy_resolves=True is for addresses=..., and without it proxies may resolve anyway: "
            "drop it; for a SOCKS5 proxy that resolves names, write socks5h://"
        )


def allowed_by(policy: AddressPolicy, host: str, addresses: Sequence[str]) -> list[bool]:
    """
    Return for each address of a host, as text, whether it may be connected to.

    Raises:
        AddressRefused: None may, or the policy failed.
    """
    allowed = [_is_allowed(policy, host, text) for text in addresses]
    if not any(allowed):
        refused = ", ".join(sorted({*addresses}))
        raise AddressRefused(f"{host!r} is at {refused}, which is not allowed")
    return allowed


def _is_allowed(policy: AddressPolicy, host: str, text: str) -> bool:
    try:
        # Without the zone, and a mapped IPv4 address as IPv4: another spelling must not evade a
        # policy that compares addresses or uses `is_private`.
        answer = policy(_plain(ipaddress.ip_address(text)))
    except (Exception, GeneratorExit) as exc:
        raise AddressRefused(f"{host!r} is at {text}, and addresses() raised {exc!r}") from exc
    # Nothing else counts as yes: a coroutine, for example, is true like any object.
    if answer is not True and answer is not False:
        raise AddressRefused(
            f"{host!r} is at {text}, and addresses() returned {answer!r}, not True or False"
        )
    return answer


def _plain(address: IPAddress) -> IPAddress:
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))
