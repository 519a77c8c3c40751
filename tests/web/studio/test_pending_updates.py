"""`studio/pending_updates.js`: what is changed while the server cannot be reached."""

import pytest

from tests.web.conftest import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

_PLAY = """
async (updates) => {
  const { PendingUpdates } = await import("/studio/pending_updates.js");
  const pending = new PendingUpdates();
  for (const [update, label] of updates) pending.add(update, label);
  return [pending.take(), pending.take()];
}
"""


async def test_the_newest_value_of_every_key_is_kept_once(server: FakeServer) -> None:
    """a prompt replaces a transition to another, and nothing is sent twice."""
    change = {"transition": {"target_prompts": [{"text": "dawn"}], "num_steps": 4}}
    taken, again = await server.evaluate(
        _PLAY,
        [
            [{"noise_scale": 0.1}, "Strength"],
            [change, "Prompt"],
            [{"noise_scale": 0.2}, "Strength"],
            [{"prompt": "dusk"}, "Prompt"],
        ],
    )
    assert taken == {
        "update": {"noise_scale": 0.2, "prompt": "dusk"},
        "label": "Strength, Prompt",
    }
    assert again is None
