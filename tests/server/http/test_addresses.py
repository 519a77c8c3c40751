"""Where the page is found, as it is printed and as certificates name it."""

import ipaddress

import pytest
from slipstream_server.config import ServerConfig
from slipstream_server.http.addresses import lan_addresses, names, page_addresses

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("host", "secure", "address"),
    [
        ("127.0.0.1", False, "http://127.0.0.1:8080/"),
        ("localhost", True, "https://localhost:8080/"),
        ("::1", True, "https://[::1]:8080/"),
    ],
)
def test_one_host_has_one_address(host: str, secure: bool, address: str) -> None:
    assert page_addresses(ServerConfig(host=host), 8080, secure=secure) == (address,)


@pytest.mark.parametrize(("host", "version"), [("0.0.0.0", 4), ("::", 6)])
def test_a_wildcard_is_printed_as_what_can_be_opened(host: str, version: int) -> None:
    """localhost first, then the machine's own addresses of that kind, each with the token."""
    config = ServerConfig(host=host, token=TOKEN)
    first, *others = page_addresses(config, 81, secure=True, token=TOKEN)
    assert first == f"https://localhost:81/?token={TOKEN}"
    own = [text for text in lan_addresses() if ipaddress.ip_address(text).version == version]
    assert len(others) == len(own)
    assert all(text in address for text, address in zip(own, others, strict=True))


def test_names_are_as_a_certificate_writes_them() -> None:
    """each once, addresses shortened, and none that could not stand in it."""
    found = names("0:0::1")
    assert len(set(found)) == len(found)
    assert {"localhost", "127.0.0.1", "::1"} <= set(found)
    assert "bücher.example".encode("idna").decode() in names("bücher.example")
    assert names("x" * 70 + ".example") == names("localhost")


def test_a_wildcard_names_every_address_of_the_machine() -> None:
    assert set(lan_addresses()) <= set(names("0.0.0.0"))
