"""Connectivity checks go only where `remote_addresses.py` lets them, on one ICE connection.

An ICE agent checks every address that the other side names. A server that callers can reach
need not: it answers as ICE lite (RFC 8445, section 2.5), and takes no notice of what is named. An
address from which an authenticated check has come is checked once in return, in either case:
without that a caller could write the address of a victim on its packets and have the media sent
there (RFC 7675, section 5.1).

Private names of aioice's connection: `_add_remote_candidate` and `check_incoming` are wrapped,
`_remote_candidates`, `_check_list` and `_nominated` read, and shortened.
"""

import logging
from typing import Any

from aioice import Candidate
from aioice.mdns import is_mdns_hostname
from slipstream_protocol.clock import now_ns

from slipstream_server.ice.remote_addresses import SIGNALLED_MAX, CheckRules, RemoteAddresses

logger = logging.getLogger(__name__)

_LEARNT_MAX = 32  # kept; an older one gives way


class CheckLimits:
    """Limits the checks of one connection of aioice's; install it before candidates are added.

    Args:
        connection: of aioice.
        rules: of this machine.
        is_lite: whether nothing that is named is checked.
    """

    def __init__(self, connection: Any, rules: CheckRules, *, is_lite: bool) -> None:
        self._connection = connection
        self._addresses = RemoteAddresses(rules)
        self._is_lite = is_lite
        self._add = connection.add_remote_candidate
        self._add_resolved = connection._add_remote_candidate
        self._check_incoming = connection.check_incoming

    def install(self) -> None:
        """Put the limits before the connection's methods."""
        self._connection.add_remote_candidate = self._on_candidate
        self._connection._add_remote_candidate = self._on_resolved
        self._connection.check_incoming = self._on_check

    async def _on_candidate(self, candidate: Candidate | None) -> None:
        if candidate is None:
            # aioice fails at once where nothing is left to check, and the other side's own checks
            # are still to come (RFC 8863)
            if not (self._is_lite or self._addresses.refused):
                await self._add(None)
        elif self._is_lite or (
            is_mdns_hostname(candidate.host) and not self._addresses.admit_lookup()
        ):
            logger.debug("%s is not checked", candidate)
        else:
            await self._add(candidate)

    def _on_resolved(self, candidate: Candidate, network_host: str) -> None:
        # with TCP it is the other side that connects (RFC 6544), and it is known once it has
        if candidate.transport.lower() != "udp":
            return
        if self._addresses.admit(network_host, candidate.port):
            self._add_resolved(candidate, network_host)
        elif self._addresses.refused == 1:
            logger.info("%s port %s is not checked", network_host, candidate.port)

    def _on_check(self, message: Any, address: tuple[str, int], protocol: Any) -> None:
        if not self._is_known(address):
            if not self._addresses.admit_learnt(address[0], now_ns()):
                return
            self._make_room()
        self._check_incoming(message, address, protocol)

    def _is_known(self, address: tuple[str, int]) -> bool:
        known = self._connection._remote_candidates
        return any((one._network_host, one.port) == address for one in known)

    def _make_room(self) -> None:
        """Forget the address that was learnt first where they are many, with its pairs."""
        candidates, pairs = self._connection._remote_candidates, self._connection._check_list
        if len(candidates) < SIGNALLED_MAX + _LEARNT_MAX:
            return
        used = [pair.remote_candidate for pair in self._connection._nominated.values()]
        oldest = next(one for one in candidates if one.type == "prflx" and one not in used)
        candidates.remove(oldest)
        for pair in [pair for pair in pairs if pair.remote_candidate is oldest]:
            if pair.task is not None:
                pair.task.cancel()
            pairs.remove(pair)
