"""The addresses of the server: for its certificate, and to print at the start."""

import ipaddress
import socket
from urllib.parse import quote

from aioice.ice import get_host_addresses

from slipstream_server.config import ServerConfig

_MAX_ADDRESSES = 16


def lan_addresses() -> tuple[str, ...]:
    """This machine's addresses without link-local ones, IPv4 first."""
    found = [address.partition("%")[0] for address in get_host_addresses(True, True)]
    reachable = [text for text in found if not ipaddress.ip_address(text).is_link_local]
    reachable.sort(key=lambda text: ":" in text)
    return tuple(reachable[:_MAX_ADDRESSES])


def is_wildcard(host: str) -> bool:
    """Whether `host` stands for every address of the machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def names(host: str) -> tuple[str, ...]:
    """The host names and addresses of a server that listens on `host`, each once."""
    reached = lan_addresses() if is_wildcard(host) else (host,)
    found = ("localhost", "127.0.0.1", "::1", socket.gethostname(), *reached)
    return tuple(dict.fromkeys(name for text in found if (name := _normal(text))))


def page_addresses(
    config: ServerConfig, port: int, *, secure: bool, token: str = ""
) -> tuple[str, ...]:
    """The page's URLs, with a token if there is one; one for each address that is listened on."""
    hosts: tuple[str, ...] = (config.host,)
    if is_wildcard(config.host):
        version = 6 if ":" in config.host else 4
        lan = [a for a in lan_addresses() if ipaddress.ip_address(a).version == version]
        hosts = ("localhost", *lan)
    scheme = "https" if secure else "http"
    query = f"?token={quote(token, safe='')}" if token else ""
    path = config.web_addressing.base_path + "/"
    return tuple(f"{scheme}://{_in_url(host)}:{port}{path}{query}" for host in hosts)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _normal(name: str) -> str:
    """The form used in certificates; empty if it cannot be in one."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return name.encode("idna").decode().lower()
    except UnicodeError:
        return ""
