"""What an engine that a test plays reports of itself."""

from slipstream_protocol.frames import Geometry
from slipstream_protocol.messages import Ready, Vocabulary
from slipstream_protocol.parameters import Parameters

GEOMETRY = Geometry(width_px=8, height_px=4, first_chunk_frames=2, chunk_frames=2)


def ready_message(
    *, geometry: Geometry = GEOMETRY, lanes: int = 1, out_slots: int = 2, chunk_ms: float = 0.0
) -> Ready:
    """The first message of such an engine."""
    return Ready(
        pipeline="played",
        preset="none",
        geometry=geometry,
        lanes=lanes,
        in_slots=1,
        out_slots=out_slots,
        defaults=Parameters(),
        step_list=(1000,),
        noise_scale_range=(0.0, 1.0),
        vocabulary=Vocabulary(),
        note="",
        chunk_ms=chunk_ms,
    )
