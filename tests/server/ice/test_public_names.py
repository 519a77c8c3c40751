"""The public addresses (media_addressing of the server), and what their names mean."""

import asyncio
import ipaddress
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.config import ServerConfig
from slipstream_server.errors import ConfigError
from slipstream_server.ice.public_names import look_up
from slipstream_server.media_addressing import MediaAddressing, PublicAddresses

ADDRESSES = st.ip_addresses().filter(lambda one: not (one.is_unspecified or one.is_multicast))
LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)


@given(st.ip_addresses(), st.lists(ADDRESSES, max_size=8))
def test_callers_get_our_own_address_first_and_public_ones_of_its_version(
    own: Any, public: list[Any]
) -> None:
    """each once; loopback stays alone, as no router forwards to it."""
    entries = PublicAddresses.parse(",".join(map(str, public)))
    told = MediaAddressing(public=entries).advertised(str(own))
    assert told[0] == str(own)
    assert len(set(told)) == len(told)
    wanted = {str(one) for one in public if one.version == own.version and not own.is_loopback}
    assert set(told[1:]) == wanted - {str(own)}


@given(st.lists(LABELS, min_size=1, max_size=4), st.lists(ADDRESSES.map(str), max_size=12))
def test_a_name_means_nothing_until_it_is_found_and_keeps_what_was_found(
    labels: list[str], found: list[str]
) -> None:
    """a name server that is down moves nobody, and one that answers with much is bounded."""
    name = ".".join(labels)
    public = PublicAddresses.parse(f"203.0.113.5,{name}")
    assert public.names == (name,)
    assert public.known == ("203.0.113.5",)
    public.learn(name, found)
    after = public.known
    assert set(after) <= {"203.0.113.5", *found}
    assert len(after) <= 9
    assert not public.learn(name, [])
    assert not public.learn(name, found)
    assert public.known == after


async def test_names_are_looked_up_again_and_a_failure_keeps_the_last(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """an address that changes is followed; one name that is not found disturbs no other."""
    answers = {"home.example": ["198.51.100.4"], "gone.example": []}

    async def getaddrinfo(host: str, *rest: Any, **more: Any) -> list[Any]:
        if not answers[host]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(0, 0, 0, "", (address, 0)) for address in answers[host]]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    public = PublicAddresses.parse("home.example,gone.example")
    await look_up(public)
    assert public.known == ("198.51.100.4",)
    assert "public_ip gone.example is not found" in caplog.text
    answers["home.example"] = ["203.0.113.9"]
    await look_up(public)
    assert public.known == ("203.0.113.9",)
    answers["home.example"] = []
    await look_up(public)
    assert public.known == ("203.0.113.9",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("203.0.113", "'203.0.113', it must be an IPv4 or IPv6 address or a host name"),
        ("203.0.113.5;198.51.100.9", "it must be an IPv4 or IPv6 address or a host name"),
        ("http://home.example", "it must be an IPv4 or IPv6 address or a host name"),
        ("203.0.113.5:8080", "it must be an IPv4 or IPv6 address or a host name"),
        ("home.example,-x", "'-x', it must be"),
        (".".join(["long"] * 60), "it must be an IPv4 or IPv6 address or a host name"),
        ("0.0.0.0", "'0.0.0.0', it must be an address that one machine can have"),
        ("ff02::1", "it must be an address that one machine can have"),
        (",".join(str(ipaddress.ip_address(0xC6336400 + one)) for one in range(9)), "9 entries"),
    ],
)
def test_what_is_neither_address_nor_name_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"public_ip is .*{reason}"):
        ServerConfig(public_ip=text)
