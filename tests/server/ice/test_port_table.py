"""ice/port_table.py: whose a datagram is, of all calls that share one port."""

import os

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.ice.port_table import ADDRESSES_MAX, PortTable

ALICE, BOB = "alice's call", "bob's call"
HOME, OFFICE = ("192.0.2.1", 5000), ("192.0.2.2", 5000)
RTP = b"\x80rtp"


def table() -> PortTable[str]:
    made: PortTable[str] = PortTable()
    made.add("alice", ALICE)
    made.add("bob", BOB)
    return made


def check(username: str) -> bytes:
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes["PRIORITY"] = 1
    message.attributes["USERNAME"] = username
    message.add_message_integrity(b"key")
    return bytes(message)


def response(transaction_id: bytes, kind: stun.Class = stun.Class.RESPONSE) -> bytes:
    return bytes(stun.Message(stun.Method.BINDING, kind, transaction_id=transaction_id))


def test_a_check_is_whose_name_it_carries() -> None:
    """wherever it comes from, also from another call's address; nobody's is counted."""
    calls = table()
    calls.learn(HOME, ALICE, 0)
    assert calls.find(check("alice:x"), OFFICE, 0) == ALICE
    assert calls.find(check("bob:x"), HOME, 0) == BOB
    assert calls.find_called(check("bob:x")) == BOB
    for name in ("carol:x", "alice", "", "x:alice"):
        assert calls.find(check(name), HOME, 0) is None
        assert calls.find_called(check(name)) is None
    assert calls.drops == {"unknown_call": 8}
    assert calls.find_called(RTP) is None
    assert calls.find_called(response(b"x" * 12)) is None
    assert calls.drops == {"unknown_call": 8, "unreadable": 2}


def test_what_is_nobodys_is_counted_by_what_it_is() -> None:
    """the causes are those of the metric."""
    calls = table()
    short_check = check("carol:x")[:19]
    for data in (b"", short_check, response(b"x" * 12), check("carol:x"), RTP, RTP):
        assert calls.find(data, HOME, 0) is None
    assert calls.drops.pop("stranger") >= 2
    assert set(calls.drops) <= {"empty", "unreadable", "unknown_response", "unknown_call"}
    assert calls.drops["empty"] == calls.drops["unknown_response"] == 1
    calls.learn(HOME, ALICE, 0)
    assert calls.find(RTP, HOME, 30 * NS_PER_S) == ALICE


def test_so_many_checks_wait_for_a_response() -> None:
    """of more, the oldest is forgotten."""
    calls = table()
    for number in range(257):
        calls.expect(number.to_bytes(12, "big"), ALICE)
    found = [calls.find(response(n.to_bytes(12, "big")), HOME, 0) for n in range(257)]
    assert found == [None] + 256 * [ALICE]


def test_a_response_is_for_whoever_has_asked() -> None:
    """from whatever address; a name is not believed in it."""
    calls = table()
    calls.expect(b"a" * 12, ALICE)
    for kind in (stun.Class.RESPONSE, stun.Class.ERROR):
        assert calls.find(response(b"a" * 12, kind), OFFICE, 0) == ALICE
        assert calls.find(response(b"b" * 12, kind), OFFICE, 0) is None
    for number in range(1000):
        calls.expect(number.to_bytes(12, "big"), ALICE)
    assert calls.find(response(b"a" * 12), OFFICE, 0) is None
    calls.remove(ALICE)
    assert calls.find(response((999).to_bytes(12, "big")), OFFICE, 0) is None


def test_media_are_whose_address_was_authenticated() -> None:
    """naming a call is not enough; with the call the address is forgotten."""
    calls = table()
    assert calls.find(check("alice:x"), HOME, 0) == ALICE
    assert calls.find(RTP, HOME, 0) is None
    assert calls.learn(HOME, ALICE, 0) == ()
    assert calls.find(RTP, HOME, 0) == ALICE
    indication = bytes(stun.Message(stun.Method.BINDING, stun.Class.INDICATION))
    assert calls.find(indication, HOME, 0) == ALICE
    assert calls.find(RTP, OFFICE, 0) is None
    assert calls.remove(ALICE) == (HOME,)
    assert calls.remove(ALICE) == ()
    assert calls.find(RTP, HOME, 0) is None
    assert calls.learn(HOME, ALICE, 0) is None


def test_an_address_is_not_taken_from_a_call_that_lives() -> None:
    """another may have it once nothing comes from there for two seconds; after thirty without
    anything it is nobody's."""
    calls = table()
    calls.learn(HOME, ALICE, 0)
    calls.find(RTP, HOME, NS_PER_S)
    assert calls.learn(HOME, BOB, 2 * NS_PER_S) is None
    assert calls.find(RTP, HOME, 2 * NS_PER_S) == ALICE
    assert calls.learn(HOME, BOB, 5 * NS_PER_S) == ()
    assert calls.find(RTP, HOME, 5 * NS_PER_S) == BOB
    assert calls.remove(ALICE) == ()
    assert calls.find(RTP, HOME, 36 * NS_PER_S) is None
    calls.learn(HOME, BOB, 36 * NS_PER_S)
    assert calls.find(RTP, HOME, 36 * NS_PER_S) == BOB


def test_a_call_has_few_addresses() -> None:
    """the one that was authenticated longest ago is forgotten."""
    calls = table()
    for port in range(ADDRESSES_MAX):
        assert calls.learn(("192.0.2.1", port), ALICE, 0) == ()
    assert calls.learn(("192.0.2.1", 0), ALICE, 0) == ()
    assert calls.learn(HOME, ALICE, 0) == (("192.0.2.1", 1),)
    assert calls.find(RTP, ("192.0.2.1", 1), 0) is None
    assert calls.find(RTP, ("192.0.2.1", 0), 0) == ALICE


def test_two_calls_have_two_names() -> None:
    with pytest.raises(ValueError, match="ufrag 'alice' is another call's"):
        table().add("alice", BOB)


@given(st.binary(max_size=200))
def test_whatever_a_stranger_sends_is_nobodys(data: bytes) -> None:
    """it is counted once, and nothing is remembered of it."""
    calls = table()
    assert calls.find(data, OFFICE, 0) is None
    assert calls.drops.total() == 1
    assert calls.find(RTP, OFFICE, 0) is None


@given(st.integers(20, 120), st.binary(max_size=120))
def test_a_check_cut_short_or_grown_is_no_error(at: int, tail: bytes) -> None:
    """it is some call's, or nobody's."""
    data = check(f"alice:{os.urandom(4).hex()}")
    assert table().find(data[:at] + tail, OFFICE, 0) in (ALICE, BOB, None)
