"""sessions/owner_proofs.py: that a session is the caller's own."""

from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.sessions.owner_proofs import OwnerProofs

PROOFS = OwnerProofs(b"one process")


@given(st.text(max_size=20), st.text(max_size=40))
def test_only_the_proof_that_was_given_is_right(id: str, other: str) -> None:
    """neither another text, nor another id's, nor another process'."""
    _, _, proof = PROOFS.address(id).rpartition(".")
    assert PROOFS.is_owner(id, proof)
    assert PROOFS.is_owner(id, other) is (other == proof)
    assert PROOFS.is_owner(other, proof) is (other == id)
    assert not OwnerProofs(b"the next").is_owner(id, proof)
