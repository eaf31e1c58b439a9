"""
Address policies: a table of addresses with the answers, and what a callable is given and may say.

The rows of the table were worked out by hand from the IANA IPv4 and IPv6 Special-Purpose Address
Registries (RFC 6890), the multicast ranges (RFC 5771, RFC 4291) and the RFCs named beside them, and
not from `ipaddress.is_global`, which differs between releases of Python.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest

import asyncbatch
from asyncbatch._engine import AddressRefused, as_policy, is_public
from asyncbatch._engine.connect._addresses import allowed_by

PUBLIC = """
    # Names that everybody knows, and the neighbours of every block below.
    1.0.0.0            1.1.1.1            8.8.8.8            9.255.255.255
    11.0.0.0           93.184.216.34      100.63.255.255     100.128.0.0
    126.255.255.255    128.0.0.0          169.253.255.255    169.255.0.0
    172.15.255.255     172.32.0.0         191.255.255.255    192.0.1.0
    192.0.1.255        192.0.3.0          192.31.195.255     192.31.197.0
    192.52.192.255     192.52.194.0       192.88.98.255      192.88.100.0
    192.167.255.255    192.169.0.0        192.175.47.255     192.175.49.0
    198.17.255.255     198.20.0.0         198.51.99.255      198.51.101.0
    203.0.112.255      203.0.114.0        223.255.255.255    168.63.129.15
    168.63.129.17
    # Global unicast (RFC 4291 §2.5.4), and the neighbours of the blocks inside it.
    2000::1            2001:200::         2001:db7:ffff:ffff:ffff:ffff:ffff:ffff
    2001:db9::         2001:4860:4860::8888                  2003::1
    2400:cb00::1       2606:4700:4700::1111                  2620:4f:7fff::1
    2620:4f:8001::1    2a00:1450::1       2c00::1            3fff:1000::
    3ffe:ffff::1
    # Public IPv4 inside: mapped (RFC 4291 §2.5.5.2), NAT64 (RFC 6052), 6to4 (RFC 3056), ISATAP.
    ::ffff:8.8.8.8     ::ffff:808:808     64:ff9b::808:808   64:ff9b::8.8.8.8
    2002:808:808::1    2002:101:101::     2a00::5efe:808:808 2a00::200:5efe:8.8.8.8
"""

NOT_PUBLIC = """
    # "This network" (RFC 791): on Linux, 0.0.0.0 leads to this host.
    0.0.0.0            0.0.0.1            0.1.2.3            0.255.255.255
    # Private use (RFC 1918).
    10.0.0.0           10.1.2.3           10.255.255.255
    172.16.0.0         172.16.0.1         172.31.255.255
    192.168.0.0        192.168.1.1        192.168.255.255
    # Shared address space (RFC 6598); also the metadata of Alibaba's cloud.
    100.64.0.0         100.64.0.1         100.100.100.200    100.127.255.255
    # Loopback.
    127.0.0.0          127.0.0.1          127.0.0.53         127.1.0.0
    127.255.255.254    127.255.255.255
    # Link-local (RFC 3927); also the metadata of most clouds.
    169.254.0.0        169.254.169.254    169.254.170.2      169.254.255.255
    # Protocol assignments (RFC 6890): DS-Lite, dummies, discovery; also Oracle's cloud. PCP and
    # TURN anycast (RFC 7723, RFC 8155) are globally reachable by the registry, at whoever is near.
    192.0.0.0          192.0.0.1          192.0.0.8          192.0.0.9
    192.0.0.10         192.0.0.11         192.0.0.170        192.0.0.171
    192.0.0.192        192.0.0.255
    # Documentation (RFC 5737).
    192.0.2.0          192.0.2.1          192.0.2.255        198.51.100.0
    198.51.100.1       198.51.100.255     203.0.113.0        203.0.113.1
    203.0.113.255
    # Anycast: AS112 (RFC 7535, RFC 7534), AMT (RFC 7450), relays of 6to4 (RFC 7526).
    192.31.196.0       192.31.196.1       192.31.196.255     192.52.193.0
    192.52.193.1       192.52.193.255     192.88.99.0        192.88.99.1
    192.88.99.2        192.88.99.255      192.175.48.0       192.175.48.6
    192.175.48.255
    # Benchmarking (RFC 2544).
    198.18.0.0         198.18.0.1         198.19.255.255
    # Multicast (RFC 5771), reserved (RFC 1112), broadcast (RFC 919).
    224.0.0.0          224.0.0.1          232.1.2.3          239.255.255.255
    240.0.0.0          240.0.0.1          254.255.255.255    255.255.255.254
    255.255.255.255
    # The host under a virtual machine on Azure.
    168.63.129.16
    # Unspecified, loopback, and IPv4-compatible addresses (deprecated, RFC 4291 §2.5.5.1).
    ::                 ::1                ::2                ::7f00:1
    ::127.0.0.1        ::10.0.0.1         ::8.8.8.8          ::ffff
    # IPv4-mapped, in both forms.
    ::ffff:0.0.0.0     ::ffff:127.0.0.1   ::ffff:7f00:1      ::ffff:10.0.0.1
    ::ffff:a00:1       ::ffff:100.64.0.1  ::ffff:169.254.169.254
    ::ffff:a9fe:a9fe   ::ffff:192.168.0.1 ::ffff:224.0.0.1   ::ffff:255.255.255.255
    0:0:0:0:0:ffff:7f00:1                 ::FFFF:127.0.0.1
    # IPv4-translated (RFC 2765), and its neighbours.
    ::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8   ::fffe:8.8.8.8     ::1:ffff:8.8.8.8
    # NAT64 by its well-known prefix (RFC 6052): the IPv4 address inside counts.
    64:ff9b::          64:ff9b::7f00:1    64:ff9b::127.0.0.1 64:ff9b::10.0.0.1
    64:ff9b::a9fe:a9fe 64:ff9b::192.168.1.1                  64:ff9b::ffff:ffff
    64:ff9b:0:0:0:1:808:808
    # NAT64 for local use (RFC 8215).
    64:ff9b:1::        64:ff9b:1::808:808 64:ff9b:1:ffff:ffff:ffff:ffff:ffff
    64:ff9b:2::1
    # Discard-only and dummy (RFC 6666, RFC 9780); unassigned below 2000::/3.
    100::              100::1             100::ffff:ffff:ffff:ffff
    100:0:0:1::1       200::1             1fff:ffff::1
    # Protocol assignments (RFC 2928): Teredo, with the server's and the client's address inside.
    2001::             2001::1            2001:0:4136:e378:8000:63bf:3fff:fdd2
    2001:0:7f00:1::    2001:1::           2001:1::1          2001:1::2
    2001:1::3          2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff
    # Benchmarking (RFC 5180), AMT, LISP, AS112, ORCHID (RFC 4843), ORCHIDv2, DRIP.
    2001:2::           2001:2::1          2001:2:0:ffff::1   2001:3::1
    2001:5::1          2001:4:112::1      2001:10::1         2001:1f::1
    2001:20::1         2001:2f::1         2001:30::1         2001:3f::1
    2620:4f:8000::     2620:4f:8000::1    2620:4f:8000:ffff:ffff:ffff:ffff:ffff
    # Documentation (RFC 3849, RFC 9637).
    2001:db8::         2001:db8::1        2001:db8:ffff:ffff:ffff:ffff:ffff:ffff
    3fff::             3fff::1            3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff
    # 6to4: the IPv4 address of the router counts.
    2002::             2002:7f00:1::1     2002:0a00:1::      2002:a9fe:a9fe::1
    2002:c0a8:101::1   2002:6440:1::1     2002:e000:1::1     2002:ffff:ffff::1
    # ISATAP (RFC 5214): under any prefix, the IPv4 address at the end counts.
    2a00::5efe:10.0.0.1                   2a00::200:5efe:a9fe:a9fe
    2a00:1:2:3:100:5efe:127.0.0.1         2a00:1:2:3:300:5efe:192.168.0.1
    2002:808:808::5efe:7f00:1             fe80::5efe:8.8.8.8
    # Above 2000::/3: unassigned, segment routing (RFC 9602), unique local (RFC 4193), the metadata
    # of Amazon's and Google's clouds in it.
    4000::1            5f00::1            8000::1            e000::1
    fc00::             fc00::1            fd00::1            fd00:ec2::254
    fd12:3456::1       fd20:ce::254       fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
    # Link-local and, deprecated, site-local (RFC 3879), with zones and without; multicast.
    fe00::1            fe80::             fe80::1            fe80::1%lo
    fe80::1%1          fe80::a9fe:a9fe%eth0                  febf::1
    fec0::             fec0::1            fec0::1%2          feff::1
    ff00::             ff02::1            ff02::1%lo         ff05::2
    ff0e::1            ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
    # A zone does not make them public.
    ::1%lo             ::ffff:127.0.0.1%1 ::%1               64:ff9b::7f00:1%1
"""


def rows(table: str) -> list[str]:
    """Return the words of a table, its comments left out."""
    return [
        word
        for line in table.splitlines()
        if not line.lstrip().startswith("#")
        for word in line.split()
    ]


@pytest.mark.parametrize("address", rows(PUBLIC))
def test_public_addresses_are_allowed(address: str) -> None:
    """Global unicast outside every special block, also inside IPv6."""
    assert is_public(ip_address(address)) is True


@pytest.mark.parametrize("address", rows(NOT_PUBLIC))
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    """Every special block, from its first address to its last, also inside IPv6."""
    assert is_public(ip_address(address)) is False


def test_the_tables_are_as_large_as_the_documentation_says() -> None:
    """And no row stands in both, or twice."""
    every = rows(PUBLIC) + rows(NOT_PUBLIC)

    assert len(every) == len(set(every))
    assert len(every) >= 250


def test_the_answer_does_not_depend_on_the_release_of_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """None of the properties of `ipaddress` that have changed is asked."""

    def changed(_: object) -> bool:
        raise AssertionError("asked the standard library")

    for kind in (IPv4Address, IPv6Address):
        for name in ("is_global", "is_private", "is_reserved", "is_link_local", "is_multicast"):
            monkeypatch.setattr(kind, name, property(changed))

    assert [is_public(ip_address(row)) for row in rows(NOT_PUBLIC)].count(True) == 0
    assert [is_public(ip_address(row)) for row in rows(PUBLIC)].count(False) == 0


def test_a_policy_is_public_a_callable_or_nothing() -> None:
    """Anything else is a mistake, told at once."""

    def policy(address: object) -> bool:
        return False

    assert as_policy(None) is None
    assert as_policy("public") is is_public
    assert as_policy(policy) is policy
    with pytest.raises(TypeError, match="'private'"):
        as_policy("private")  # type: ignore[arg-type]


def test_a_policy_cannot_be_awaited() -> None:
    """Its coroutine would be as true as any object, and let everything through."""

    async def policy(address: object) -> bool:
        return False

    with pytest.raises(TypeError, match="at once"):
        as_policy(policy)  # type: ignore[arg-type]


def test_the_question_of_public_can_be_part_of_another() -> None:
    """As its docstring shows: public, and one host of our own besides."""

    def policy(address: Any) -> bool:
        return asyncbatch.is_public(address) or str(address) == "10.0.0.1"

    assert allowed_by(policy, "a", ["10.0.0.1", "10.0.0.2", "1.1.1.1"]) == [True, False, True]


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("127.0.0.1", IPv4Address("127.0.0.1")),
        ("::1", IPv6Address("::1")),
        ("::ffff:127.0.0.1", IPv4Address("127.0.0.1")),
        ("::ffff:127.0.0.1%1", IPv4Address("127.0.0.1")),
        ("fe80::1%eth0", IPv6Address("fe80::1")),
    ],
)
def test_a_callable_is_given_what_will_be_spoken_to(text: str, given: Any) -> None:
    """One that knows `127.0.0.1` is not passed by `::ffff:127.0.0.1`, nor one by a zone."""
    seen: list[Any] = []

    allowed_by(lambda address: seen.append(address) is None, "a.test", [text])

    assert seen == [given]
    assert type(seen[0]) is type(given)
    assert str(seen[0]) == str(given)


@pytest.mark.parametrize("answer", [None, 1, 0, "yes", object(), [True], NotImplemented])
def test_only_true_lets_anything_through(answer: Any) -> None:
    """What is no bool was not meant as an answer."""
    with pytest.raises(AddressRefused, match="not True or False"):
        allowed_by(lambda _: answer, "a.test", ["1.1.1.1"])


@pytest.mark.parametrize("error", [KeyError("list"), PermissionError("no"), TimeoutError("slow")])
def test_a_callable_that_raises_lets_nothing_through(error: Exception) -> None:
    """Not even what it had allowed before; the error is the cause."""

    def policy(address: Any) -> bool:
        if str(address) == "2.2.2.2":
            raise error
        return True

    with pytest.raises(AddressRefused) as caught:
        allowed_by(policy, "a.test", ["1.1.1.1", "2.2.2.2"])

    assert caught.value.__cause__ is error
