"""The command `slipstream ready`: whether the server of these settings takes calls.

For health checks: it reads the settings as the server does, and so finds its port and scheme.
"""

import ipaddress
import json
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

from slipstream_server.config import ServerConfig
from slipstream_server.config_sources import read_config
from slipstream_server.errors import ConfigError

_ANSWER_S = 2.0
_REASON_MAX_BYTES = 4096


def ready_command(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """0 if calls can begin; else 1, and the reason on stderr.

    Args:
        argv: the command line after `ready`: the server's own flags.
        environment: of the process; SLIPSTREAM_* variables are read.
    """
    try:
        reason = _why_not(ready_address(read_config(argv, environment)))
    except ConfigError as error:
        reason = str(error)
    if reason:
        print(f"slipstream: {reason}", file=sys.stderr)
    return int(bool(reason))


def ready_address(config: ServerConfig) -> str:
    """Where the server of these settings says whether it is ready, as called on its own machine.

    Raises:
        ConfigError: if the port is chosen at the start, so that the settings do not tell it.
    """
    if not config.port:
        raise ConfigError("port is 0, which is another one at each start; set one to ask for it")
    try:
        address = ipaddress.ip_address(config.host)
        host = str(address)
        if address.is_unspecified:
            host = "127.0.0.1" if address.version == 4 else "::1"
        host = f"[{host}]" if ":" in host else host
    except ValueError:
        host = config.host
    return f"{'https' if config.is_secure else 'http'}://{host}:{config.port}/ready"


def _why_not(address: str) -> str:
    """Why no call can begin; empty if one can."""
    # the certificate need not hold for this address, and no secret is sent
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    # a proxy of the environment is for other machines
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting)
    )
    try:
        with opener.open(address, timeout=_ANSWER_S):
            return ""
    except urllib.error.HTTPError as error:
        try:
            told = json.loads(error.read(_REASON_MAX_BYTES))["error"]
        except (ValueError, KeyError, TypeError):
            told = error.reason
        return f"{address} answers {error.code}: {told}"
    except OSError as error:
        return f"{address} does not answer: {getattr(error, 'reason', error)}"
