"""What `slipstream doctor` says of ports set aside and of relays by a provider."""

from slipstream_server.config import ServerConfig
from slipstream_server.doctor.reach import check_hosted, check_media_ports
from slipstream_server.ice.turn_providers import cloudflare

from tests.server.ice.test_turn_providers import KEY, TOKEN, running
from tests.server.ports import free_range, taken


async def test_ports_that_are_free_are_counted() -> None:
    """too few for all callers is worth a word, none at all is a failure."""
    ports = free_range(3)
    config = ServerConfig(media_ports=str(ports), max_streams=1, max_viewers=1)
    assert (await check_media_ports(config)).found == f"3 of the 3 UDP ports {ports} are free"
    with taken(ports.low, ports.high):
        few = await check_media_ports(config)
        assert few.found == f"1 of the 3 UDP ports {ports} are free"
        assert "up to 2 may come" in few.advice
    with taken(*range(ports.low, ports.high + 1)):
        assert "choose other --media-ports" in (await check_media_ports(config)).advice


async def test_a_provider_is_asked() -> None:
    async with running() as (_, origin):
        good = await check_hosted(cloudflare(KEY, TOKEN, origin=origin))
        assert good.found == "Cloudflare gives 3 STUN and TURN servers"
        bad = await check_hosted(cloudflare(KEY, "wrong", origin=origin))
        assert "answers 401 Unauthorized" in bad.found
        assert bad.advice == "check its key and token"
    gone = await check_hosted(cloudflare(KEY, TOKEN, origin="http://127.0.0.1:9"))
    assert "cannot be asked for TURN credentials" in gone.found
