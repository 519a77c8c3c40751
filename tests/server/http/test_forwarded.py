"""http/forwarded.py: whose request it is, where proxies say so, and where strangers do."""

import ipaddress
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.config_sources import read_config
from slipstream_server.errors import ConfigError
from slipstream_server.http.forwarded import Caller, ForwardedHeaders, caller_of_request
from slipstream_server.web_addressing import TrustedProxies, is_host, is_path_prefix

PROXIES = TrustedProxies.parse("10.0.0.0/8, fd00::/8")
OUTSIDE = st.one_of(
    st.ip_addresses(v=4, network="198.51.100.0/24"), st.ip_addresses(v=6, network="2001:db8::/32")
)
INSIDE = st.one_of(
    st.ip_addresses(v=4, network="10.0.0.0/8"), st.ip_addresses(v=6, network="fd00::/8")
)
TEXTS = st.one_of(
    st.text(max_size=60),
    st.from_regex(r"[a-z]*(for|proto|host|by)=\"?[^\"]*\"?[;,]?", fullmatch=True),
    OUTSIDE.map(str),
)
LINES = st.lists(TEXTS, max_size=4)
SAID = st.builds(
    ForwardedHeaders,
    **dict.fromkeys(("forwarded", "for_", "proto", "host", "port", "prefix"), LINES),
)


def direct(address: Any) -> Caller:
    return Caller(address=str(address), scheme="http", host="inner:8080")


def written(address: Any, how: str) -> str:
    """An address as proxies write it: with and without port, and brackets."""
    is_v6 = isinstance(address, ipaddress.IPv6Address)
    match how:
        case "port":
            return f"[{address}]:4711" if is_v6 else f"{address}:4711"
        case "brackets":
            return f"[{address}]" if is_v6 else str(address)
    return str(address)


WRITTEN = st.sampled_from(["plain", "port", "brackets"])


@given(OUTSIDE, SAID)
def test_what_strangers_say_of_themselves_is_ignored(peer: Any, said: ForwardedHeaders) -> None:
    assert caller_of_request(direct(peer), said, PROXIES) == direct(peer)


@given(INSIDE, SAID)
def test_whatever_a_proxy_says_the_caller_is_one_that_can_be(
    peer: Any, said: ForwardedHeaders
) -> None:
    """an address, a scheme, a host and a prefix that need no escape anywhere, whatever is sent."""
    caller = caller_of_request(direct(peer), said, PROXIES)
    ipaddress.ip_address(caller.address)
    assert caller.proxy == str(peer)
    assert caller.scheme in ("http", "https")
    assert is_host(caller.host)
    assert caller.prefix == "" or is_path_prefix(caller.prefix)


@given(INSIDE, st.lists(INSIDE, max_size=3), OUTSIDE, LINES, WRITTEN)
def test_the_caller_is_the_last_that_is_no_proxy(
    peer: Any, chain: list[Any], caller: Any, made_up: list[str], how: str
) -> None:
    """whatever the caller has written before it, in that header or in `Forwarded`."""
    entries = [*made_up, *(written(one, how) for one in (caller, *chain))]
    headers = ForwardedHeaders(for_=entries, proto=["https"], forwarded=["for=192.0.2.1"])
    found = caller_of_request(direct(peer), headers, PROXIES)
    assert found.address == str(caller)
    assert found.scheme == "https"


@given(INSIDE, st.lists(INSIDE, max_size=3), OUTSIDE, WRITTEN)
def test_forwarded_is_read_alike(peer: Any, chain: list[Any], caller: Any, how: str) -> None:
    """RFC 7239: quoted where it must be, in one line or in several; each proxy with its own."""
    first = f'For="{written(caller, how)}";Proto=HTTPS;host="stage.example:8443";by=_proxy'
    rest = [f'for="{written(one, how)}";proto=http;host=inner' for one in chain]
    for lines in ([", ".join([first, *rest])], [first, *rest]):
        found = caller_of_request(direct(peer), ForwardedHeaders(forwarded=lines), PROXIES)
        assert (found.address, found.scheme) == (str(caller), "https")
        assert found.host == "stage.example:8443"


@pytest.mark.parametrize(("size", "is_read"), [(4096, True), (4097, False)])
def test_a_header_of_four_thousand_characters_is_read_and_a_longer_one_is_not(
    size: int, is_read: bool
) -> None:
    """The proxy itself is the caller then; lines of one header count together."""
    lines = ["198.51.100.7", " " * (size - 13)]  # and the comma that joins them
    caller = caller_of_request(direct("10.0.0.1"), ForwardedHeaders(for_=lines[::-1]), PROXIES)
    assert caller.address == ("198.51.100.7" if is_read else "10.0.0.1")


@given(
    INSIDE,
    st.sampled_from(["unknown", "_hidden", "", "1.2.3", "1.2.3.4:x", "[::1", "[::1]x", "a b"]),
)
def test_an_entry_that_is_no_address_ends_the_reading(peer: Any, entry: str) -> None:
    """the proxy that has reported it is the caller then, not what stands before."""
    headers = ForwardedHeaders(for_=[f"198.51.100.7, {entry}"])
    assert caller_of_request(direct(peer), headers, PROXIES).address == str(peer)


@pytest.mark.parametrize(
    "line",
    [
        "for=198.51.100.7;for=198.51.100.8",
        'for="198.51.100.7',
        "for=198.51.100.7,",
        "for=198.51.100.7 proto=https",
        "for=[2001:db8::1]",
        "=198.51.100.7",
        "for=198.51.100.7;" + "a" * 5000 + "=b",
    ],
)
def test_a_forwarded_that_breaks_its_grammar_is_ignored_as_a_whole(line: str) -> None:
    found = caller_of_request(direct("10.0.0.1"), ForwardedHeaders(forwarded=[line]), PROXIES)
    assert found == Caller(address="10.0.0.1", scheme="http", host="inner:8080", proxy="10.0.0.1")


def test_each_proxys_scheme_and_host_go_with_what_it_saw() -> None:
    """where proxies append to all of them; and the last one holds where they replace them."""
    headers = ForwardedHeaders(
        for_=["198.51.100.7", "10.0.0.2"], proto=["ftp, https, http"], host=["a.example, b.example"]
    )
    found = caller_of_request(direct("10.0.0.1"), headers, PROXIES)
    assert (found.scheme, found.host) == ("https", "a.example")
    headers = ForwardedHeaders(for_=["198.51.100.7, 10.0.0.2"], proto=["https"], host=["a.example"])
    found = caller_of_request(direct("10.0.0.1"), headers, PROXIES)
    assert (found.scheme, found.host) == ("https", "a.example")


@pytest.mark.parametrize(
    ("scheme", "host", "port", "whole"),
    [
        ("https", "stage.example", "8443", "stage.example:8443"),
        ("https", "stage.example", "443", "stage.example"),
        ("http", "stage.example:81", "80", "stage.example:81"),
        ("http", "[2001:db8::1]", "81", "[2001:db8::1]:81"),
        ("http", "stage.example", "eighty", "stage.example"),
        ("http", "stage.example", "99999999", "stage.example"),
        ("http", "", "8443", "inner:8080"),
    ],
)
def test_a_port_that_is_told_beside_the_host_belongs_to_it(
    scheme: str, host: str, port: str, whole: str
) -> None:
    headers = ForwardedHeaders(proto=[scheme], host=[host], port=[port])
    assert caller_of_request(direct("10.0.0.1"), headers, PROXIES).host == whole


def test_a_scheme_or_host_alone_is_taken_too() -> None:
    """a proxy that tells no address is the caller."""
    headers = ForwardedHeaders(proto=["https"], host=["stage.example"], prefix=["/slip/"])
    assert caller_of_request(direct("10.0.0.1"), headers, PROXIES) == Caller(
        address="10.0.0.1", scheme="https", host="stage.example", prefix="/slip", proxy="10.0.0.1"
    )


def test_of_several_prefixes_the_nearest_proxys_counts() -> None:
    """whoever is before it may have written the others."""
    headers = ForwardedHeaders(prefix=["/a, /b", "/c"])
    assert caller_of_request(direct("10.0.0.1"), headers, PROXIES).prefix == "/c"


@given(st.text(alphabet=st.sampled_from('/ab.%?#\\\r\n"<: -_~'), max_size=30))
def test_a_prefix_needs_no_escape(text: str) -> None:
    """in a Location, a page or a cookie, and it names no other host."""
    if is_path_prefix(text):
        assert re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", text)
        assert not text.startswith("//") and "/." not in text


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("trusted_proxies", "10.0.0.1/8", "'10.0.0.1/8', it must be an address, or a network"),
        ("trusted_proxies", "proxy.example", "'proxy.example', it must be an address"),
        ("base_path", "slip", "'slip', it must be as /slipstream"),
        ("base_path", "/a//b", "it must be as /slipstream"),
        ("base_path", "/../etc", "it must be as /slipstream"),
        ("base_path", "/a b", "it must be as /slipstream"),
        ("base_path", "/view", "it must not begin with a path of the server's own"),
        ("base_path", "/api/slip", "it must not begin with a path of the server's own"),
        ("allow_origins", "studio.example", "it must be an origin as https://studio.example"),
        ("allow_origins", "https://a.example/page", "it must be an origin"),
        ("allow_origins", "null", "it must be an origin"),
        ("allow_origins", "https://a; script-src *", "it must be an origin"),
        ("allow_origins", "*", "which needs a token"),
    ],
)
def test_settings_that_cannot_be_are_refused(name: str, text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is .*{re.escape(reason)}"):
        read_config([f"--{name.replace('_', '-')}", text], {})
