"""GStreamer's webrtcbin as a WHIP publisher or a WHEP viewer, in the system's own Python.

    python3 gstreamer_peer.py publish URL
    python3 gstreamer_peer.py view URL FILE     a byte is added to FILE for each whole picture

It ends, with DELETE, when its input is closed.
"""

import sys
import threading
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import gi  # type: ignore[import-not-found]

for name in ("Gst", "GstSdp", "GstWebRTC"):
    gi.require_version(name, "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # type: ignore[import-not-found] # noqa: E402

CAPS = "application/x-rtp,media=video,encoding-name=H264,payload=96,clock-rate=90000"
SENT = (
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=480,framerate=30/1 "
    "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 bitrate=1000 "
    f"! rtph264pay config-interval=-1 aggregate-mode=zero-latency ! {CAPS} ! peer."
)
SHOWN = "queue ! rtph264depay ! h264parse ! identity name=screen signal-handoffs=true ! fakesink"


class Peer:
    """One call."""

    def __init__(self, role: str, url: str, shown: Path | None) -> None:
        self.url, self.location = url, ""
        self.loop = GLib.MainLoop()
        self.shown = shown
        source = SENT if role == "publish" else ""
        # a description of one element alone would not be a pipeline
        self.pipeline = Gst.Pipeline.new(None)
        peer = f"webrtcbin name=peer bundle-policy=max-bundle {source}"
        self.pipeline.add(Gst.parse_launch(peer))
        self.bin = self.pipeline.get_by_name("peer")
        self.bin.connect("on-negotiation-needed", lambda peer: self.offer())
        self.bin.connect("notify::ice-gathering-state", lambda peer, spec: self.post())
        self.bin.connect("pad-added", self.show)
        if role == "view":
            only_receives = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
            self.bin.emit("add-transceiver", only_receives, Gst.Caps.from_string(CAPS))
        self.pipeline.set_state(Gst.State.PLAYING)

    def offer(self) -> None:
        # the binding frees a reply that is read within the callback of its promise
        promise = Gst.Promise.new()
        self.bin.emit("create-offer", None, promise)
        threading.Thread(target=self.on_offer, args=(promise,)).start()

    def on_offer(self, promise: Any) -> None:
        promise.wait()
        reply = promise.get_reply()
        if reply.has_field("error"):
            raise reply.get_value("error")
        self.bin.emit("set-local-description", reply.get_value("offer"), None)

    def post(self) -> None:
        done = GstWebRTC.WebRTCICEGatheringState.COMPLETE
        if self.bin.get_property("ice-gathering-state") != done or self.location:
            return
        offer = self.bin.get_property("local-description").sdp.as_text()
        headers = {"Content-Type": "application/sdp"}
        request = urllib.request.Request(self.url, data=offer.encode(), headers=headers)
        with urllib.request.urlopen(request) as response:
            self.location = urllib.parse.urljoin(self.url, response.headers["Location"])
            body = response.read()
        _, message = GstSdp.SDPMessage.new_from_text(body.decode())
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self.bin.emit("set-remote-description", answer, None)

    def show(self, peer: Any, pad: Any) -> None:
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        screen = Gst.parse_bin_from_description(SHOWN, True)
        screen.get_by_name("screen").connect("handoff", self.on_picture)
        self.pipeline.add(screen)
        screen.sync_state_with_parent()
        pad.link(screen.get_static_pad("sink"))

    def on_picture(self, sink: Any, picture: Any) -> None:
        assert self.shown is not None
        with self.shown.open("ab") as file:
            file.write(b".")

    def end(self) -> None:
        request = urllib.request.Request(self.location, method="DELETE")
        with urllib.request.urlopen(request) as response:
            assert response.status == 200
        self.pipeline.set_state(Gst.State.NULL)
        GLib.idle_add(self.loop.quit)


def main() -> None:
    """Run the call until the input is closed."""
    Gst.init(None)
    role, url, *files = sys.argv[1:]
    peer = Peer(role, url, Path(files[0]) if files else None)

    def wait() -> None:
        sys.stdin.read()
        peer.end()

    threading.Thread(target=wait).start()
    peer.loop.run()


if __name__ == "__main__":
    main()
