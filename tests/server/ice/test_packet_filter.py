"""ice/packet_filter.py: which datagrams are accepted on a call's UDP ports."""

from types import SimpleNamespace
from typing import Any

import pytest
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.ice import packet_filter as module
from slipstream_server.ice.packet_filter import (
    DTLS_BURST,
    MEDIA_BURST,
    STUN_BURST,
    STUN_PER_S,
    UNREAD_MAX,
    PacketFilter,
)

FRIEND, STRANGER = ("192.0.2.1", 5000), ("192.0.2.66", 6666)
STUN, DTLS, RTP = b"\x00\x01stun", b"\x16dtls", b"\x80rtp"


class Connection:
    """As much of aioice's as the filter touches; the parser breaks on texts with `bad` in them."""

    def __init__(self) -> None:
        self.waiting = 0
        self.data: list[bytes] = []
        self.stun: list[bytes] = []
        self.socket = SimpleNamespace(
            datagram_received=self._parse, local_candidate=SimpleNamespace(component=1)
        )
        self._protocols = [self.socket]
        self._nominated: dict[int, Any] = {}
        self._check_list = [SimpleNamespace(remote_addr=FRIEND)]
        self._queue = SimpleNamespace(qsize=lambda: self.waiting)

    def _parse(self, data: bytes, address: Any) -> None:
        if b"bad" in data:
            raise KeyError("no such attribute")
        self.stun.append(data)

    def data_received(self, data: bytes, component: int) -> None:
        assert component == 1
        self.data.append(data)


def filtered() -> tuple[Connection, PacketFilter]:
    connection = Connection()
    packet_filter = PacketFilter(connection)
    packet_filter.install()
    return connection, packet_filter


def test_stun_goes_to_the_parser_whoever_sends_it() -> None:
    """a caller's first check comes from where nobody has named; the parser's errors are counted."""
    connection, packet_filter = filtered()
    for address in (FRIEND, STRANGER):
        connection.socket.datagram_received(STUN, address)
    connection.socket.datagram_received(b"\x00\x01bad", STRANGER)
    assert connection.stun == [STUN, STUN]
    assert packet_filter.drops == {"unreadable": 1}


def test_media_comes_from_known_addresses_only() -> None:
    """of four or two parts, as IPv6 and IPv4 give them, and from those learnt of later."""
    connection, packet_filter = filtered()
    connection.socket.datagram_received(RTP, STRANGER)
    connection.socket.datagram_received(b"", FRIEND)
    connection.socket.datagram_received(RTP, (*FRIEND, 0, 0))
    connection._check_list.append(SimpleNamespace(remote_addr=STRANGER))
    connection.socket.datagram_received(DTLS, STRANGER)
    assert connection.data == [RTP, DTLS]
    assert packet_filter.drops == {"stranger": 1, "empty": 1}


def test_what_is_not_read_is_not_kept() -> None:
    connection, packet_filter = filtered()
    connection.waiting = UNREAD_MAX
    connection.socket.datagram_received(RTP, FRIEND)
    assert (connection.data, packet_filter.drops) == ([], {"unread": 1})


def test_a_flood_is_left_out_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """so many messages of STUN and DTLS and so much media are handled as a call has use for; a
    stranger's flood takes nothing from the peer, and after a while there is room again."""
    now = {"ns": NS_PER_S}
    monkeypatch.setattr(module, "now_ns", lambda: now["ns"])
    connection, packet_filter = filtered()
    receive = connection.socket.datagram_received
    for _ in range(MEDIA_BURST + 10):
        receive(RTP, FRIEND)
    for _ in range(2 * STUN_BURST):
        receive(STUN, STRANGER)
    assert (len(connection.data), len(connection.stun)) == (MEDIA_BURST, STUN_BURST)
    assert packet_filter.drops == {"flood": 10 + STUN_BURST}
    for _ in range(DTLS_BURST + 5):
        receive(DTLS, FRIEND)
    assert connection.data.count(DTLS) == DTLS_BURST
    assert packet_filter.drops == {"flood": 15 + STUN_BURST}
    connection.data = [one for one in connection.data if one != DTLS]
    receive(STUN, FRIEND)
    assert len(connection.stun) == STUN_BURST + 1
    now["ns"] += NS_PER_S // STUN_PER_S
    receive(STUN, STRANGER)
    receive(RTP, FRIEND)
    assert (len(connection.data), len(connection.stun)) == (MEDIA_BURST + 1, STUN_BURST + 2)
