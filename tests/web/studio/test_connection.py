"""`studio/connection.js`: calls that break off, before a server that the page plays itself."""

from typing import Any

import pytest

from tests.web.conftest import SECURE, Fake

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

# A server in the page: every offer is answered by a peer of its own, but those whose number is in
# `silent`, which get no answer until they are called back or `late` refuses them.
_PLAY = """
async (silent) => {
  const { Connection } = await import("/studio/connection.js");
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
  const wait = setTimeout;
  let deadlines = 0; // the first one comes at once
  globalThis.setTimeout = (done, ms) => wait(done, ms === 8000 && deadlines++ === 0 ? 0 : ms);
  const track = document.createElement("canvas").captureStream(1).getVideoTracks()[0];
  const call = new Connection({
    changed() {}, message() {}, timing() {}, output() {},
  });
  const until = async (holds) => {
    for (let looks = 0; !holds(); looks += 1) {
      if (looks === 2000) throw new Error(`never ${holds}: ${call.state}, ${offers.length} offers`);
      await new Promise((done) => wait(done, 10));
    }
  };
  await call.start(async () => track, {});
  await until(() => call.state === "warming");
  peers[0].close();
  await until(() => offers.length === 3 && call.interruption === "");
  const calledBack = offers.slice(1).map(({ signal }) => signal.aborted);
  for (const refuse of late) refuse();
  await new Promise((done) => wait(done, 0));
  const seen = { state: call.state, problem: call.problem?.title ?? null, calledBack };
  call.stop();
  for (const pc of peers) pc.close();
  return seen;
}
"""


async def test_an_offer_given_up_cannot_harm_the_call_after_it(fake: Fake) -> None:
    """its answer, or the word that there is none, may come when the next call is up."""
    fake.answer("/empty", 200, {})
    await fake.page.goto(f"{SECURE}/empty")
    seen: dict[str, Any] = await fake.page.evaluate(_PLAY, [1])
    assert seen == {"state": "warming", "problem": None, "calledBack": [True, False]}
