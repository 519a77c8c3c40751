"""ice/path_following.py: a peer whose address changes in the middle of a call."""

from types import SimpleNamespace
from typing import Any

from aioice.ice import CandidatePair
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.ice.path_following import PathFollowing

OLD, NEW = ("192.0.2.1", 5000), ("192.0.2.1", 5001)
SOCKET = SimpleNamespace(local_candidate=SimpleNamespace(component=1))


def pair(address: Any, state: CandidatePair.State) -> SimpleNamespace:
    return SimpleNamespace(protocol=SOCKET, remote_addr=address, state=state)


def following(state: CandidatePair.State) -> tuple[SimpleNamespace, PathFollowing]:
    old = pair(OLD, CandidatePair.State.SUCCEEDED)
    connection = SimpleNamespace(_nominated={1: old}, _check_list=[old, pair(NEW, state)])
    return connection, PathFollowing(connection)


def nominated(connection: SimpleNamespace) -> Any:
    return connection._nominated[1].remote_addr


def test_the_path_goes_where_packets_come_from() -> None:
    """once the old address is silent for a second; back again likewise."""
    connection, path = following(CandidatePair.State.SUCCEEDED)
    path.on_packet(SOCKET, OLD, 0)
    path.on_packet(SOCKET, NEW, NS_PER_S)
    assert nominated(connection) == OLD
    path.on_packet(SOCKET, NEW, NS_PER_S + 1)
    assert nominated(connection) == NEW
    path.on_packet(SOCKET, OLD, NS_PER_S + 2)
    assert nominated(connection) == NEW


def test_an_address_without_a_proof_is_not_sent_to() -> None:
    """media would else go wherever a packet says that it comes from."""
    for state in (CandidatePair.State.IN_PROGRESS, CandidatePair.State.FAILED):
        connection, path = following(state)
        path.on_packet(SOCKET, NEW, 9 * NS_PER_S)
        assert nominated(connection) == OLD
