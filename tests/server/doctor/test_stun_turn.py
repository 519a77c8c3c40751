"""doctor/stun_turn.py: what is found of STUN and TURN servers, and the advice for each failure."""

import socket
from contextlib import closing

import pytest
from slipstream_server.config import ServerConfig
from slipstream_server.doctor import stun_turn
from slipstream_server.doctor.finding import Finding, Verdict
from slipstream_server.ice.ice_servers import IceServer, ice_servers
from slipstream_server.ice.turn_providers import cloudflare

from tests.server.ice.test_turn_providers import KEY, TOKEN, running
from tests.server.relay import Relay, relaying


async def ask_turn(relay: Relay, username: str | None, credential: str | None) -> Finding:
    async with relaying(relay):
        server = IceServer(
            urls=f"turn:127.0.0.1:{relay.port}", username=username, credential=credential
        )
        return await stun_turn.check_turn(server, minted=False)


async def test_a_stun_server_that_answers() -> None:
    """with its time and our address."""
    async with relaying(Relay()) as relay:
        server = IceServer(urls=f"stun:127.0.0.1:{relay.port}")
        found = await stun_turn.check_stun(server)
    assert found.verdict is not Verdict.FAIL
    assert "sees us at 127.0.0.1, as we are" in found.found


async def test_a_silent_stun_server_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stun_turn, "STUN_ANSWER_S", 0.2)
    async with relaying(Relay(silent=True)) as relay:
        found = await stun_turn.check_stun(IceServer(urls=f"stun:127.0.0.1:{relay.port}"))
    assert found.verdict is Verdict.FAIL
    assert "does not answer within 0.2 s" in found.found
    assert "a silent STUN server holds up every call" in found.advice


async def test_a_name_that_is_none_is_told() -> None:
    found = await stun_turn.check_stun(IceServer(urls="stun:no-such-host.invalid:3478"))
    assert found.verdict is Verdict.FAIL
    assert "stun:no-such-host.invalid:3478 cannot be asked" in found.found


async def test_a_right_password_takes_a_place_and_gives_it_back() -> None:
    relay = Relay({"ann": "right"})
    found = await ask_turn(relay, "ann", "right")
    assert found.verdict is Verdict.OK, found
    assert "relays at 192.0.2.9 for us at 127.0.0.1" in found.found
    assert (relay.allocations, relay.open_allocations) == (1, 0)


@pytest.mark.parametrize(
    ("username", "credential", "found", "advice"),
    [
        ("ann", "wrong", "user name 'ann' or its password is wrong", "--turn-credential"),
        ("bob", "right", "user name 'bob' or its password is wrong", "--turn-username"),
        (None, None, "it wants a user", "set --turn-username"),
    ],
)
async def test_wrong_credentials_are_told_apart(
    username: str | None, credential: str | None, found: str, advice: str
) -> None:
    finding = await ask_turn(Relay({"ann": "right"}), username, credential)
    assert finding.verdict is Verdict.FAIL
    assert "401 Unauthorized" in finding.found and found in finding.found
    assert advice in finding.advice


async def test_a_wrong_secret_is_told() -> None:
    """credentials made from it are unknown to the server."""
    async with relaying(Relay()) as relay:
        config = ServerConfig(turn=f"turn:127.0.0.1:{relay.port}", turn_secret="wrong")
        (server,) = ice_servers(config, name="doctor", now_s=0)
        finding = await stun_turn.check_turn(server, minted=True)
    assert finding.verdict is Verdict.FAIL
    assert "it does not know our credentials" in finding.found
    assert "--turn-secret must be its static-auth-secret" in finding.advice


@pytest.mark.parametrize(
    ("refusal", "verdict", "found"),
    [
        ((403, "Forbidden"), Verdict.FAIL, "403 Forbidden: we may not relay"),
        ((486, "Allocation Quota Reached"), Verdict.WARN, "486 Allocation Quota Reached"),
        ((500, "Server Error"), Verdict.FAIL, "answers 500 Server Error"),
    ],
)
async def test_a_refusal_is_quoted(refusal: tuple[int, str], verdict: Verdict, found: str) -> None:
    finding = await ask_turn(Relay({"ann": "right"}, refusal=refusal), "ann", "right")
    assert finding.verdict is verdict
    assert found in finding.found


async def test_a_silent_turn_server_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stun_turn, "STUN_ANSWER_S", 0.2)
    finding = await ask_turn(Relay({"ann": "right"}, silent=True), "ann", "right")
    assert finding.verdict is Verdict.FAIL
    assert "does not answer within 0.2 s" in finding.found


async def test_a_closed_port_is_told() -> None:
    """over TCP the machine itself refuses."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    server = IceServer(urls=f"turn:127.0.0.1:{port}?transport=tcp", username="a", credential="b")
    finding = await stun_turn.check_turn(server, minted=False)
    assert finding.verdict is Verdict.FAIL
    assert "cannot be asked" in finding.found


async def test_a_provider_gives_credentials_or_a_reason() -> None:
    async with running() as (_, origin):
        good = await stun_turn.check_turn_provider(cloudflare(KEY, TOKEN, origin=origin))
        assert good.found == "Cloudflare gives 3 STUN and TURN servers"
        bad = await stun_turn.check_turn_provider(cloudflare(KEY, "wrong", origin=origin))
        assert "answers 401 Unauthorized" in bad.found
        assert bad.advice == "check its key and token"
    finding = await stun_turn.check_turn_provider(
        cloudflare(KEY, TOKEN, origin="http://127.0.0.1:9")
    )
    assert "cannot be asked for TURN credentials" in finding.found
