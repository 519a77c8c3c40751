"""`studio/call.js`: lost connections, with a server simulated in the page."""

from typing import Any

import pytest

from tests.web.conftest import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

# A server in the page: every offer is answered by a peer of its own, except those whose number is
# in `silent`: they get no answer until they are aborted, or until `late` fails them.
_PLAY = """
async (silent) => {
  const { Call } = await import("/studio/call.js");
  const peers = [], offers = [], late = [];
  const json = (body) => new Response(JSON.stringify(body));
  async function answer(offer) {
    const pc = new RTCPeerConnection();
    peers.push(pc);
    await pc.setRemoteDescription({ type: "offer", sdp: offer.sdp });
    await pc.setLocalDescription();
    while (pc.iceGatheringState !== "complete") await new Promise((done) => setTimeout(done, 10));
    return json({
      sdp: pc.localDescription.sdp, type: "answer", sessionId: String(peers.length - 1),
      streamId: "s", resumeToken: "s.secret", resumeSeconds: 30,
    });
  }
  globalThis.fetch = async (path, { method, body, signal }) => {
    const id = String(path).split("/offer/")[1];
    if (String(path).endsWith("/ice-servers")) return json({ iceServers: [] });
    if (method === "PATCH") {
      for (const one of JSON.parse(body).candidates) await peers[Number(id)].addIceCandidate(one);
    }
    if (method !== "POST") return new Response(null, { status: 204 });
    offers.push({ signal });
    if (!silent.includes(offers.length - 1)) return answer(JSON.parse(body));
    return new Promise((_, refuse) => {
      signal.addEventListener("abort", () => refuse(signal.reason));
      late.push(() => refuse(new DOMException("no answer in time", "TimeoutError")));
    });
  };
  const realTimeout = setTimeout;
  let deadlines = 0; // the first deadline of an attempt to resume is over at once
  globalThis.setTimeout = (done, ms) => (
    realTimeout(done, ms === 8000 && deadlines++ === 0 ? 0 : ms)
  );
  const track = document.createElement("canvas").captureStream(1).getVideoTracks()[0];
  const call = new Call({
    onChange() {}, onMessage() {}, onTimings() {}, onOutput() {}, onDisconnect() {},
  });
  const until = async (holds) => {
    for (let polls = 0; !holds(); polls += 1) {
      if (polls === 2000) throw new Error(`never ${holds}: ${call.state}, ${offers.length} offers`);
      await new Promise((done) => realTimeout(done, 10));
    }
  };
  await call.start(async () => track, () => ({}));
  await until(() => call.state === "warming");
  peers[0].close();
  await until(() => offers.length === 3 && call.interruption === "");
  const isAborted = offers.slice(1).map(({ signal }) => signal.aborted);
  for (const refuse of late) refuse();
  await new Promise((done) => realTimeout(done, 0));
  const result = { state: call.state, problem: call.problem?.title ?? null, isAborted };
  call.stop();
  for (const pc of peers) pc.close();
  return result;
}
"""


async def test_an_aborted_offer_does_not_affect_the_next_attempt(server: FakeServer) -> None:
    """its answer or its failure may arrive when the next attempt is connected."""
    result: dict[str, Any] = await server.evaluate(_PLAY, [1])
    assert result == {"state": "warming", "problem": None, "isAborted": [True, False]}
