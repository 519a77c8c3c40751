"""doctor/media_ports.py: whether the reserved ports are free."""

from slipstream_server.config import ServerConfig
from slipstream_server.doctor.media_ports import check_media_port, check_media_ports

from tests.server.ports import free_range, occupied


async def test_ports_that_are_free_are_counted() -> None:
    """too few for all callers is a warning, none at all is a failure."""
    ports = free_range(3)
    config = ServerConfig(media_ports=str(ports), max_streams=1, max_viewers=1)
    assert (await check_media_ports(config)).found == f"3 of the 3 UDP ports {ports} are free"
    with occupied(ports.low, ports.high):
        few = await check_media_ports(config)
        assert few.found == f"1 of the 3 UDP ports {ports} are free"
        assert "up to 2 may come" in few.advice
    with occupied(*range(ports.low, ports.high + 1)):
        assert "choose other --media-ports" in (await check_media_ports(config)).advice


async def test_the_one_port_is_tried() -> None:
    """over UDP and TCP, at every address of the machine."""
    port = free_range(1).low
    config = ServerConfig(media_port=port)
    finding = await check_media_port(config)
    assert finding.found.startswith(f"UDP and TCP port {port} is free at 127.0.0.1")
    with occupied(port):
        taken = await check_media_port(config)
        assert taken.found.startswith(f"media port {port} cannot be opened at 127.0.0.1")
        assert "choose another --media-port" in taken.advice
