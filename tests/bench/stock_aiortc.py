"""The baseline: aiortc by itself, sending every frame straight back.

Run as `python -m tests.bench.stock_aiortc PORT [HOST]`; answers offers as the real server does.
"""

import sys

from aiohttp import web
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

PEERS: web.AppKey[set[RTCPeerConnection]] = web.AppKey("peers", set)


async def offer(request: web.Request) -> web.Response:
    body = await request.json()
    peer = RTCPeerConnection()
    request.app[PEERS].add(peer)

    @peer.on("track")
    def echo(track: MediaStreamTrack) -> None:
        peer.addTrack(track)

    await peer.setRemoteDescription(RTCSessionDescription(body["sdp"], body["type"]))
    await peer.setLocalDescription(await peer.createAnswer())
    local = peer.localDescription
    return web.json_response({"sdp": local.sdp, "type": local.type})


async def ready(_request: web.Request) -> web.Response:
    return web.json_response({"ready": True})


async def hang_up(app: web.Application) -> None:
    for peer in app[PEERS]:
        await peer.close()


def main(port: int, host: str = "127.0.0.1") -> None:
    app = web.Application()
    app[PEERS] = set()
    app.router.add_post("/api/v1/webrtc/offer", offer)
    app.router.add_get("/ready", ready)
    app.on_shutdown.append(hang_up)
    web.run_app(app, host=host, port=port, print=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
