"""
Address policies: which addresses may be connected to.

Pure. Refusing is about the address, never about the spelling of the name: whatever a URL says,
it is the resolved address that is looked at, and that same address that is connected to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal, TypeAlias

IPAddress: TypeAlias = IPv4Address | IPv6Address
AddressPolicy: TypeAlias = Callable[[IPAddress], bool]
AddressPolicyTypes: TypeAlias = AddressPolicy | Literal["public"] | None

# IANA IPv4 special-purpose registry: what is not globally reachable, multicast and the former
# class E. Written out, since `ipaddress.is_global` differs between Python releases.
_NOT_PUBLIC_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)

_GLOBAL_UNICAST = IPv6Network("2000::/3")
# Inside 2000::/3: protocol assignments with Teredo, benchmarking and ORCHID; documentation.
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "3fff::/20", "2620:4f:8000::/48")
)
_NAT64 = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")


def is_public(address: IPAddress) -> bool:
    """
    Say whether an address is globally routable unicast.

    An IPv4 address inside an IPv6 one (mapped, NAT64, 6to4) is judged by itself.
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    address = IPv6Address(int(address))  # without a zone, which `in` would trip over
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    if address in _SIX_TO_FOUR:
        return is_public(IPv4Address(int(address) >> 80 & 0xFFFF_FFFF))
    if address not in _GLOBAL_UNICAST:
        return False
    return not any(address in network for network in _NOT_PUBLIC_V6)


def as_policy(addresses: AddressPolicyTypes) -> AddressPolicy | None:
    """
    Turn what callers may pass into a policy, or None where every address is welcome.

    Raises:
        TypeError: it is neither a callable nor None nor `"public"`.
    """
    if addresses is None or callable(addresses):
        return addresses
    if addresses == "public":
        return is_public
    raise TypeError(f"addresses must be 'public', a callable or None, not {addresses!r}")


def parse_address(text: str) -> IPAddress:
    """Parse the address part of a socket address; a zone is allowed."""
    return ipaddress.ip_address(text)
