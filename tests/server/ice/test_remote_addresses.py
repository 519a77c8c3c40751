"""ice/remote_addresses.py: which addresses of the other side are checked."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.ice.remote_addresses import (
    PER_HOST_MAX,
    SIGNALLED_MAX,
    CheckRules,
    RemoteAddresses,
)

HOME = ("192.168.1.5", "fd12:3456::5")
PUBLIC = ("93.184.215.14", "2606:2800:220:1::5", "10.0.0.5")
NEVER = (
    *("0.0.0.0", "::", "224.0.0.251", "239.1.2.3", "ff02::fb", "240.0.0.1", "255.255.255.255"),
    *("169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192"),
    *("::ffff:10.0.0.7", "64:ff9b::a00:7", "2002:a00:7::1", "2001:0:a00:7::1", "::10.0.0.7"),
)
LAB_ONLY = ("127.0.0.1", "127.9.9.9", "::1", "169.254.7.7", "fe80::7")
PORT = 50_000


def rules(*own: str, allow_private: bool = False) -> CheckRules:
    return CheckRules.of_machine(own, allow_private=allow_private)


@pytest.mark.parametrize("own", [HOME, PUBLIC, ("fd00:ec2::7", "100.100.100.7"), ()])
@pytest.mark.parametrize("host", NEVER)
def test_some_addresses_are_nobodys(own: tuple[str, ...], host: str) -> None:
    """whatever the settings, and however an IPv4 address is written as IPv6."""
    for allowed in (False, True):
        assert not rules(*own, allow_private=allowed).admits(host, PORT)
        assert not rules(*own, allow_private=allowed).admits_source(host)


@pytest.mark.parametrize("host", LAB_ONLY)
def test_this_machine_and_its_cable_are_for_labs(host: str) -> None:
    """loopback and link-local addresses are checked where that is asked for."""
    for own in (HOME, PUBLIC):
        assert not rules(*own).admits(host, PORT)
        assert not rules(*own).admits_source(host)
        assert rules(*own, allow_private=True).admits(host, PORT)
        assert rules(*own, allow_private=True).admits_source(host)


@pytest.mark.parametrize(
    ("own", "host", "admitted"),
    [
        (HOME, "192.168.1.77", True),  # a phone in the same home
        (HOME, "fd12:3456::77", True),
        (HOME, "192.168.1.5", False),  # this machine's own services
        (HOME, "192.168.2.1", False),  # another network: its callers come by themselves
        (HOME, "10.0.0.7", False),
        (HOME, "172.17.0.2", False),  # a container's
        (HOME, "93.184.215.14", True),
        (HOME, "2606:2800:220:1::9", True),
        (PUBLIC, "10.0.0.7", False),  # a neighbour in the data centre
        (PUBLIC, "fd12:3456::77", False),
        (PUBLIC, "8.8.8.8", True),
        ((*HOME, "2606:2800:220:1::5"), "192.168.1.77", True),  # a home with IPv6
        (("100.64.3.4",), "100.64.3.9", True),  # an overlay network
        (("100.64.3.4",), "100.65.3.9", False),
    ],
)
def test_private_addresses_are_those_of_the_own_network(
    own: tuple[str, ...], host: str, admitted: bool
) -> None:
    """where the machine has no public address of that version; asked for, all of them are."""
    assert rules(*own).admits(host, PORT) is admitted
    assert rules(*own).admits_source(host)
    assert rules(*own, allow_private=True).admits(host, PORT)


def test_names_are_looked_up_where_callers_have_private_addresses() -> None:
    """a stranger's name is not asked for in the network of a public server."""
    assert rules(*HOME).looks_up_names
    assert not rules("93.184.215.14").looks_up_names
    assert rules("93.184.215.14", allow_private=True).looks_up_names


@given(st.ip_addresses(), st.integers(0, 65_535), st.booleans())
def test_no_service_is_checked(address: object, port: int, allow_private: bool) -> None:
    """ports below 1024, on whatever address; and what is checked is no address of NEVER's kinds."""
    found = ipaddress.ip_address(str(address))
    admitted = rules(*HOME, allow_private=allow_private).admits(str(found), port)
    if port < 1024 or found.is_multicast or found.is_unspecified:
        assert not admitted


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3000))))
def test_few_addresses_are_checked(named: list[tuple[int, int]]) -> None:
    """in all and on one host, however many are named."""
    addresses = RemoteAddresses(rules(*HOME))
    admitted = [host for host, port in named if addresses.admit(f"8.8.8.{host}", 1024 + port)]
    assert len(admitted) <= SIGNALLED_MAX
    assert all(admitted.count(host) <= PER_HOST_MAX for host in admitted)
    assert addresses.refused == len(named) - len(admitted)


def test_the_bound_is_a_total() -> None:
    """over hosts, and over names; an address that is none is refused."""
    addresses = RemoteAddresses(rules(*HOME))
    assert sum(addresses.admit(f"8.8.{host}.8", PORT) for host in range(200)) == SIGNALLED_MAX
    assert sum(addresses.admit_lookup() for _ in range(200)) == SIGNALLED_MAX
    assert addresses.refused == 2 * (200 - SIGNALLED_MAX)


def test_what_is_no_address_is_refused() -> None:
    """also where there is room for more; an address takes one place of its host, ports begin at
    1024."""
    addresses = RemoteAddresses(rules(*HOME))
    assert addresses.admit("nowhere.example", PORT) is False
    admitted = [addresses.admit("8.8.8.8", 1024) for _ in range(PER_HOST_MAX + 1)]
    assert admitted == PER_HOST_MAX * [True] + [False]
    assert not addresses.admit("8.8.4.4", 1023)
    assert addresses.refused == 3


def test_learnt_addresses_come_slowly() -> None:
    """a burst, as of a phone with several networks, then one a second."""
    addresses = RemoteAddresses(rules(*HOME))
    assert 8 <= sum(addresses.admit_learnt("8.8.8.8", 0) for _ in range(100)) <= 16
    assert addresses.admit_learnt("8.8.8.8", 1_000_000_000)
    assert not addresses.admit_learnt("8.8.8.8", 1_000_000_000)
    refused = addresses.refused
    assert not addresses.admit_learnt("224.0.0.251", 9_000_000_000)
    assert addresses.refused == refused + 1 >= 86
