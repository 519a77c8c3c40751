"""Keys that are made from the server's token: whoever sees what they sign cannot guess a weak token
fast. Pure."""

import hashlib

KEY_BYTES = 32
# 16 MiB and some 50 ms for each
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 1 << 14, 8, 1


def derived_key(token: str, label: bytes) -> bytes:
    """The key of all servers with this token, by scrypt (RFC 7914).

    Args:
        token: bytes of it that were not UTF-8 have become surrogates, and count as well.
        label: what the key is for; another label gives another key.
    """
    secret = token.encode(errors="surrogatepass")
    return hashlib.scrypt(
        secret, salt=label, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P, dklen=KEY_BYTES
    )
