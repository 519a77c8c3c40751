"""Who has vanished is noticed within five seconds, and nobody else."""

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.sessions.liveness import LOOK_S, SILENT_S, LivenessCheck

NOTICED_S = 5.0

gaps = st.lists(st.floats(0.0, SILENT_S - 0.01), max_size=40)


@given(gaps, st.floats(0.0, LOOK_S))
def test_a_vanished_peer_is_noticed_within_five_seconds(
    gaps_s: list[float], phase_s: float
) -> None:
    """however its packets came before, whenever we happen to look, and not while they come."""
    packets_s = list(itertools.accumulate(gaps_s, initial=0.0))
    silence = LivenessCheck()
    for number in itertools.count():
        now_s = phase_s + number * LOOK_S
        silence.look(sum(at_s <= now_s for at_s in packets_s))
        if silence.seconds >= SILENT_S:
            break
    assert packets_s[-1] < now_s <= packets_s[-1] + NOTICED_S


def test_our_own_stall_is_no_silence_of_the_peers() -> None:
    """a look that comes a minute late counts as one."""
    silence = LivenessCheck()
    silence.look(7)
    silence.look(7)
    assert math.isclose(silence.seconds, LOOK_S)
    silence.look(8)
    assert silence.seconds == 0.0
