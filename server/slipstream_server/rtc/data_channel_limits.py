"""What a call's data channels may bring, measured before anything is put together from it.

SCTP in Python costs the loop that all calls share, and a message that never ends would be kept
until it does. So datagrams are counted as they come, on the instance of one call: aiortc's names
that are used are `RTCSctpTransport._handle_data`, which is replaced, and `_advertised_rwnd`, read.
What aiortc cannot read (text that is no UTF-8, a channel opened in half a message) would end the
call as if the viewer had hung up, with a traceback; here it is told apart.
"""

from collections.abc import Awaitable, Callable

from aiortc import RTCSctpTransport

from slipstream_server.rtp.aiortc_internals import get_private

_EVERYTHING_BYTES = 1 << 40
_OVERDRAWN_BYTES = 64 << 10  # beyond the window we have told; a caller who keeps to it never is


def limit_channels(
    sctp: RTCSctpTransport, admit: Callable[[int], bool], broken: Callable[[Exception], None]
) -> None:
    """Take in what `admit` lets in, and nothing more once it has refused or something was broken.

    Args:
        sctp: of a call, before it begins.
        admit: is given the size of each datagram in bytes, and asked no more after a refusal.
        broken: is told once of what cannot be read.

    Raises:
        SeamMoved: if this aiortc is not built as we know it.
    """
    handle: Callable[[bytes], Awaitable[None]] = get_private(sctp, "_handle_data")
    get_private(sctp, "_advertised_rwnd")
    refused = False

    async def metered(data: bytes) -> None:
        nonlocal refused
        overdrawn: bool = get_private(sctp, "_advertised_rwnd") < -_OVERDRAWN_BYTES
        # a message without an end is as much too much as many messages
        refused = refused or not admit(_EVERYTHING_BYTES if overdrawn else len(data))
        if refused:
            return
        try:
            await handle(data)
        except ConnectionError:
            raise  # the call is ending
        except Exception as error:  # aiortc meets what is broken with whatever it runs into
            refused = True
            broken(error)

    sctp._handle_data = metered  # type: ignore[method-assign]
