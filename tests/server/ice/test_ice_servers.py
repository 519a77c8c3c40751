"""ice/ice_servers.py: the STUN and TURN servers of a call, and their credentials."""

import base64
import hashlib
import hmac

from slipstream_server.config import ServerConfig
from slipstream_server.ice.ice_servers import ice_servers, rtc_configuration


def test_no_server_is_used_unless_configured() -> None:
    """an empty list, where None would mean somebody's public STUN server."""
    assert ice_servers(ServerConfig(), name="x", now_s=0) == ()
    assert rtc_configuration(()).iceServers == []


def test_turn_credentials_are_minted_per_caller() -> None:
    """name, expiry and their HMAC, as coturn checks it."""
    config = ServerConfig(stun="stun:a:1", turn="turn:b:2", turn_secret="secret")
    stun, turn = ice_servers(config, name="me", now_s=1000)
    assert (stun.urls, turn.urls, turn.username) == ("stun:a:1", "turn:b:2", "4600:me")
    assert turn.credential is not None
    digest = hmac.new(b"secret", b"4600:me", hashlib.sha1).digest()
    assert base64.b64decode(turn.credential) == digest


def test_fixed_turn_credentials_are_passed_on() -> None:
    config = ServerConfig(turn="turn:b:2", turn_username="u", turn_credential="c")
    (turn,) = ice_servers(config, name="me", now_s=0)
    assert (turn.username, turn.credential) == ("u", "c")
    (server,) = rtc_configuration((turn,)).iceServers or []
    assert (server.urls, server.username, server.credential) == ("turn:b:2", "u", "c")
