"""Proofs that a session is the caller's own. Pure.

A proof is part of the session's address, which its caller alone is told: whoever has read the
session's id, in a log for instance, still cannot end it.
"""

import base64
import hashlib
import hmac


class OwnerProofs:
    """Makes and checks the proofs of one process' sessions; none is stored.

    Args:
        key: known to this process alone.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def address(self, id: str) -> str:
        """The session as its owner names it: the id, a dot, and the proof."""
        return f"{id}.{self._proof(id)}"

    def is_owner(self, id: str, proof: str) -> bool:
        """Whether the proof is that of this id."""
        presented = proof.encode(errors="surrogatepass")
        return hmac.compare_digest(presented, self._proof(id).encode())

    def _proof(self, id: str) -> str:
        digest = hmac.digest(self._key, id.encode(errors="surrogatepass"), hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:18]).decode()
