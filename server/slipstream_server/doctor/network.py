"""The network: port, certificate, secure context, UDP."""

import asyncio
import contextlib
import datetime
import errno
import ipaddress
import json
import socket
import ssl
from typing import Any

import aiohttp

from slipstream_server.config import ServerConfig
from slipstream_server.doctor.finding import Finding, fail, ok, warn
from slipstream_server.errors import ConfigError, PortBusy
from slipstream_server.http.addresses import is_wildcard, lan_addresses, page_addresses
from slipstream_server.http.port import bind
from slipstream_server.http.tls_listener import certificate_for

_DATAGRAM_BYTES = 1200  # as large as media packets are
_UDP_S = 1.0
_ASK_S = 2.0
_SOON = datetime.timedelta(days=14)


async def check_port(config: ServerConfig) -> Finding:
    """Whether the port is free, or a Slipstream server has it already."""
    try:
        listener = await asyncio.to_thread(bind, config.host, config.port)
    except PortBusy as error:
        reason, _, advice = str(error).partition("; ")
        if version := await _running_version(config):
            return warn(
                f"Slipstream {version} is running on port {config.port} already",
                "stop it before you start another, or choose another --port",
            )
        return fail(reason, advice or "name an address of this machine with --host")
    with contextlib.closing(listener):
        return ok(f"{config.host} port {listener.getsockname()[1]} is free")


async def _running_version(config: ServerConfig) -> str:
    """The version of the Slipstream server on the port; empty if another program has it."""
    host = "localhost" if is_wildcard(config.host) else config.host
    host = f"[{host}]" if ":" in host else host
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE  # no secret is sent
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError, OSError):
        async with (
            asyncio.timeout(_ASK_S),
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as http,
            http.get(f"http://{host}:{config.port}/health") as response,
        ):
            health: Any = json.loads(await response.read())
            if isinstance(health, dict) and "engine_state" in health:
                return str(health.get("version", "of unknown version"))
    return ""


async def check_page(config: ServerConfig) -> Finding:
    """Whether a browser will give its camera to the page."""
    addresses = page_addresses(config, config.port, secure=config.is_secure)
    found = " and ".join(address.partition("?")[0] for address in addresses)
    if config.is_secure or config.is_loopback:
        return ok(f"{found}: browsers give a camera to it")
    return warn(
        f"{found}: browsers give no camera to a page without https, except on localhost",
        "serve https: --tls self-signed, or --tls-cert and --tls-key, or a proxy before it",
    )


async def check_tls(config: ServerConfig) -> Finding:
    """Whether the certificate can be served, names the addresses, and does not expire soon."""
    try:
        certificate = certificate_for(config)
    except ConfigError as error:
        reason, _, advice = str(error).partition("; ")
        return fail(reason, advice or "look at the files named by --tls-cert and --tls-key")
    assert certificate is not None, "the check runs only with https"
    found = f"valid to {certificate.expires:%Y-%m-%d}, for {', '.join(certificate.names)}"
    if certificate.expires - datetime.datetime.now(datetime.UTC) < _SOON:
        return warn(found, "renew it; browsers refuse the page once it has run out")
    # a host name in it may well be this machine's, though the machine does not know it
    names_hosts = not all(_is_address(name) for name in certificate.names)
    reached = lan_addresses() if is_wildcard(config.host) else (config.host,)
    if not names_hosts and not set(reached) & set(certificate.names):
        return warn(found, f"browsers will warn: it does not name {', '.join(reached)}")
    return ok(found)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def check_udp(config: ServerConfig) -> Finding:
    """Whether datagrams of a media packet's size pass on every address that candidates carry."""
    addresses = ["127.0.0.1", *([] if config.is_loopback else lan_addresses())]
    lost = {address: reason for address in addresses if (reason := await _udp_failure(address))}
    if not lost:
        return ok(f"datagrams pass on {', '.join(addresses)}")
    reasons = ", ".join(f"{address} ({reason})" for address, reason in lost.items())
    return fail(
        f"datagrams do not pass on {reasons}",
        "media is UDP: allow it in this machine's firewall (and publish it from the container)",
    )


async def _udp_failure(address: str) -> str | None:
    """Why a datagram to this machine itself does not arrive; None if it does."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    loop = asyncio.get_running_loop()
    payload = bytes(range(256)) * (_DATAGRAM_BYTES // 256)
    with (
        socket.socket(family, socket.SOCK_DGRAM) as receiver,
        socket.socket(family, socket.SOCK_DGRAM) as sender,
    ):
        receiver.setblocking(False)
        sender.setblocking(False)
        try:
            receiver.bind((address, 0))
            await loop.sock_sendto(sender, payload, receiver.getsockname()[:2])
            async with asyncio.timeout(_UDP_S):
                received = await loop.sock_recv(receiver, 2 * _DATAGRAM_BYTES)
        except TimeoutError:
            return f"nothing came within {_UDP_S:g} s"
        except OSError as error:
            return error.strerror or errno.errorcode.get(error.errno or 0, "unknown")
    return None if received == payload else "it came changed"
