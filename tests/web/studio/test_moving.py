"""`studio/call.js`: a server that stops hands its call over, with both servers simulated here."""

from typing import Any

import pytest

from tests.web.conftest import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

# Each offer is answered by a peer of its own that sends pictures, those in `refused` by 503. The
# first call is told that its server stops; parameters change while the second is being made.
_PLAY = """
async (refused) => {
  const { Call } = await import("/studio/call.js");
  const log = [], offers = [], peers = [], channels = [];
  const json = (body, status = 200) => new Response(JSON.stringify(body), { status });
  const drawn = () => {
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("2d");
    setInterval(() => context.fillRect(Math.random() * 300, 0, 9, 99), 30);
    return canvas.captureStream(30).getVideoTracks()[0];
  };
  async function answer(offer) {
    const pc = new RTCPeerConnection(), id = peers.push(pc) - 1;
    pc.addEventListener("datachannel", ({ channel }) => {
      if (channel.label !== "parameters") return;
      channels[id] = channel;
      channel.addEventListener("message", ({ data }) => {
        const update = JSON.parse(data);
        if (update.type === undefined) log.push(`update ${update.prompt} at ${id}`);
      });
    });
    await pc.setRemoteDescription({ type: "offer", sdp: offer.sdp });
    const [one] = pc.getTransceivers();
    one.direction = "sendrecv";
    await one.sender.replaceTrack(drawn());
    await pc.setLocalDescription();
    while (pc.iceGatheringState !== "complete") await new Promise((done) => setTimeout(done, 10));
    return json({
      sdp: pc.localDescription.sdp, type: "answer", sessionId: String(id),
      streamId: "s", resumeToken: "s.secret", resumeSeconds: 30,
    });
  }
  globalThis.fetch = async (path, { method, body }) => {
    const id = String(path).split("/offer/")[1];
    if (String(path).endsWith("/ice-servers")) return json({ iceServers: [] });
    if (method === "PATCH") {
      for (const one of JSON.parse(body).candidates) await peers[Number(id)].addIceCandidate(one);
    }
    if (method === "DELETE") {
      log.push(`end ${id}`);
      peers[Number(id)].close();
    }
    if (method !== "POST") return new Response(null, { status: 204 });
    const offer = JSON.parse(body);
    offers.push(offer);
    if (refused.includes(offers.length - 1)) return json({ error: "full" }, 503);
    const second = offers.length > 1 && !log.includes("changed");
    if (second) {
      const state = { type: "parameters_updated", parameters: { prompt: "dawn" } };
      channels[0].send(JSON.stringify(state));
      log.push("changed");
    }
    return answer(offer);
  };
  const track = drawn();
  const call = new Call({
    onChange() {}, onMessage() {}, onTimings() {},
    onOutput() { log.push(`output ${peers.length}`); },
    onDisconnect() { log.push("keep picture"); },
  });
  const until = async (holds) => {
    for (let polls = 0; !holds(); polls += 1) {
      if (polls === 1500) throw new Error(`never ${holds}: ${call.state}, ${log}`);
      await new Promise((done) => setTimeout(done, 10));
    }
  };
  await call.start(async () => track, () => ({}));
  await until(() => call.state === "warming" && channels[0]?.readyState === "open");
  const tell = (message) => channels[0].send(JSON.stringify(message));
  tell({ type: "state", state: "live", parameters: { prompt: "dusk" } });
  const stopping = {
    type: "server_stopping", ends_in_s: 30, resume_token: "s.secret", hands_over: true,
  };
  tell(stopping);
  tell(stopping);
  await until(() => log.some((line) => line.startsWith("update")));
  const { farewell, interruption, isOpen } = call;
  const { resume, initialParameters } = offers[offers.length - 1];
  call.stop();
  for (const pc of peers) pc.close();
  return { log, offers: offers.length, resume, initialParameters, farewell, interruption, isOpen };
}
"""


@pytest.mark.parametrize("refused", [[], [1, 2]])
async def test_a_call_moves_when_the_next_server_has_a_picture(
    server: FakeServer, refused: list[int]
) -> None:
    """not before, and once however often it is told: the old call goes on until then, and what has
    changed meanwhile is sent after it; while the next one refuses, it is asked again."""
    result: dict[str, Any] = await server.evaluate(_PLAY, refused)
    assert result == {
        "log": [
            *("output 0", "changed"),
            *("keep picture", "output 2", "end 0", "update dawn at 1"),
            *("end 1", "keep picture"),
        ],
        "offers": 2 + len(refused),
        "resume": "s.secret",
        "initialParameters": {"prompt": "dusk"},
        "farewell": "",
        "interruption": "",
        "isOpen": True,
    }
