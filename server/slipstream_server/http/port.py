"""The TCP port that the server listens on."""

import errno
import socket

from slipstream_server.errors import PortBusy

_BACKLOG = 128


def bind(host: str, port: int) -> socket.socket:
    """A TCP socket that listens on the port.

    Raises:
        PortBusy: if the port cannot be bound.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise PortBusy(f"host is {host!r}, which is no address here: {error.strerror}") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        why = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror
        raise PortBusy(
            f"port {port} on {host} cannot be opened: {why}; stop that program, or choose another "
            "with --port (0 takes any free one)"
        ) from error
    return listener
