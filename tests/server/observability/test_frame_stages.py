"""Where a frame's time went: the stages add up, and each is between the stamps it is named for."""

from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.frames.playout import ChunkStamps, GeneratedFrame, ScheduledFrame
from slipstream_server.observability.frame_stages import FrameStagesMs

from tests.server.stamped import generated_frame, ms


@given(st.lists(st.integers(0, 500), min_size=7, max_size=7), st.booleans())
def test_the_stages_add_up_to_the_whole_way(spent_ms: list[int], has_first_packet: bool) -> None:
    """each as long as what lies between its stamps; without a first packet nothing was received."""
    at = [1000]
    for spent in spent_ms:
        at.append(at[-1] + spent)
    plain = generated_frame(1000)
    frame = GeneratedFrame(
        frame=plain.frame,
        captured_ns=ms(900),
        arrived_ns=ms(at[1]),
        first_packet_ns=ms(at[0]) if has_first_packet else None,
        chunk=0,
        index=0,
        rev=0,
        stamps=ChunkStamps(
            chunked_ns=ms(at[1]),
            submitted_ns=ms(at[2]),
            taken_ns=ms(at[3]),
            generated_ns=ms(at[4]),
            received_ns=ms(at[5]),
            stages=plain.stamps.stages,
        ),
    )
    scheduled = ScheduledFrame(generated=frame, play_ns=ms(at[6]), popped_ns=ms(at[6]))
    stages = FrameStagesMs.of(scheduled, ms(at[7]))
    measured = [getattr(stages, name) for name in FrameStagesMs.__slots__]
    if not has_first_packet:
        spent_ms[0] = 0
    assert measured == spent_ms
