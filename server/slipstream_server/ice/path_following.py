"""Follows a peer whose address changes in the middle of a call, as a NAT's new mapping makes it.

A browser nominates the new path itself. Other agents check that they may still send and no more, as
aioice does, and would be sent to where they have been: so where nothing comes any more from the
nominated address, the one that packets do come from takes its place, as soon as a check there was
answered.

Private names of aioice's connection: `_nominated` is changed, `_check_list` read.
"""

import logging
from typing import Any

from aioice.ice import CandidatePair
from slipstream_protocol.clock import NS_PER_S

logger = logging.getLogger(__name__)

_SILENT_NS = NS_PER_S  # a peer sends more often, if only its reports


class PathFollowing:
    """Keeps one connection's nominated path to where its peer is.

    Args:
        connection: of aioice.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._heard_ns = 0

    def on_packet(self, protocol: Any, address: tuple[str, int], now_ns: int) -> None:
        """A packet has come from an address of the peer."""
        component = protocol.local_candidate.component
        nominated = self._connection._nominated.get(component)
        if nominated is None or nominated.remote_addr == address:
            self._heard_ns = now_ns
        elif now_ns - self._heard_ns > _SILENT_NS:
            for pair in self._connection._check_list:
                if (
                    pair.protocol is protocol
                    and pair.remote_addr == address
                    and pair.state is CandidatePair.State.SUCCEEDED
                ):
                    logger.info("the peer is at another address now")
                    self._connection._nominated[component] = pair
                    self._heard_ns = now_ns
                    return
