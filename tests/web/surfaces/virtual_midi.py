"""A MIDI device that is none: it takes the place of the browser's Web MIDI before a page is loaded.

`window.play(...bytes)` sends a message, `window.plug(isIn)` pulls it out and plugs it in again.
"""

VIRTUAL_DEVICE = """() => {
  const input = { type: "input", name: "Deck", id: "1", state: "connected", onmidimessage: null };
  const access = { inputs: new Map([["1", input]]), outputs: new Map(), onstatechange: null };
  navigator.requestMIDIAccess = async () => {
    if (window.refused) throw new DOMException("no", "NotAllowedError");
    return access;
  };
  window.play = (...bytes) => input.onmidimessage?.({ data: new Uint8Array(bytes) });
  window.plug = (isIn) => {
    input.state = isIn ? "connected" : "disconnected";
    if (isIn) access.inputs.set("1", input);
    else access.inputs.delete("1");
    access.onstatechange?.({ port: input });
  };
}"""
