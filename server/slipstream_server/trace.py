"""The command `slipstream trace`: the way of a stream's frames through the server, as a file.

It asks the server of these settings, as `slipstream ready` does, with their token.
"""

import argparse
import shutil
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence

from slipstream_server.config_sources import read_config
from slipstream_server.errors import ConfigError
from slipstream_server.ready import ready_address

_ANSWER_S = 10.0  # beyond the time that is traced
_REASON_MAX_BYTES = 4096


def trace_command(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Write the trace to stdout; else 1, and the reason on stderr.

    Args:
        argv: the command line after `trace`: its own flags and the server's.
        environment: of the process; SLIPSTREAM_* variables are read.
    """
    parser = argparse.ArgumentParser(
        prog="slipstream trace",
        description="Record the way of a stream's frames, for ui.perfetto.dev or chrome://tracing.",
        epilog="All settings of slipstream are taken too: they say where the server is.",
        allow_abbrev=False,
    )
    parser.add_argument("--stream", required=True, help="the stream's name")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to record")
    options, rest = parser.parse_known_args(argv)
    try:
        config = read_config(rest, environment)
        address = ready_address(config).removesuffix("/ready")
    except ConfigError as error:
        print(f"slipstream: {error}", file=sys.stderr)
        return 1
    stream = urllib.parse.quote(options.stream, safe="")
    url = f"{address}/api/v1/streams/{stream}/trace?seconds={options.seconds:g}"
    headers = {"Authorization": f"Bearer {config.token}"} if config.token else {}
    return _fetch(urllib.request.Request(url, headers=headers), options.seconds)


def _fetch(request: urllib.request.Request, seconds: float) -> int:
    # the certificate need not hold for this address, which is this machine's own
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting)
    )
    try:
        with opener.open(request, timeout=seconds + _ANSWER_S) as answer:
            shutil.copyfileobj(answer, sys.stdout.buffer)
    except urllib.error.HTTPError as error:
        reason = error.read(_REASON_MAX_BYTES).decode(errors="replace")
        print(f"slipstream: the server answers {error.code}: {reason}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"slipstream: the server does not answer: {error}", file=sys.stderr)
        return 1
    return 0
