"""The models that can be served: one row of parameters each."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from slipstream_protocol.levels import parse_levels

from slipstream_engine.config import (
    CacheParams,
    DitParams,
    NoiseMode,
    Pinning,
    Positions,
    Preset,
    ScheduleParams,
)
from slipstream_engine.frame_sizes import CAMERA_ASPECTS

UPRIGHT = ((9, 16),)  # 480x832, which the model was trained at too

_WAN_1_3B = Preset(
    name="wan-1.3b",
    dit=DitParams(dim=1536, heads=12, layers=30, ffn_dim=8960),
    cache=CacheParams(slots=6, sinks=3, sink_threshold=0.2),
    schedule=ScheduleParams(step_list=(700, 500, 400, 200), steps=2),
    codec="wan",
    text="umt5",
    width_px=832,
    height_px=480,
    aspects=UPRIGHT,
    prompt="",
    note="StreamDiffusionV2 on Wan 2.1 T2V 1.3B",
)

_WAN_14B = replace(
    _WAN_1_3B,
    name="wan-14b",
    dit=DitParams(dim=5120, heads=40, layers=40, ffn_dim=13824),
    schedule=replace(_WAN_1_3B.schedule, steps=1),
    note="StreamDiffusionV2 on Wan 2.1 T2V 14B",
)

_TINY = Preset(
    name="tiny",
    dit=DitParams(
        dim=192,
        heads=3,
        layers=3,
        ffn_dim=1024,
        latent_channels=96,
        patch=(1, 1, 1),
        text_dim=64,
        text_len=4,
        freq_dim=128,
        pooled_text=True,
    ),
    # the frame before is enough: a third frame, sink or not, changes no measure of its pictures
    cache=CacheParams(
        slots=2,
        sinks=0,
        pinning=Pinning.SINKS,
        positions=Positions.RELATIVE,
        count_unwritten_sinks=False,
    ),
    schedule=ScheduleParams(
        # the first timestep lies in 330 to 600; below it the model takes a styled picture
        step_list=(450, 250, 225, 200),
        steps=1,
        noise_scale=0.15,
        noise_scale_range=(0.03, 0.3),
        timestep_offset=300,
        renoise_offset=150,
        first_chunk_from_scale=True,
    ),
    noise=NoiseMode.FIXED,
    codec="taehv",
    text="tiny",
    width_px=256,
    height_px=256,
    smaller_sizes_px=((192, 192),),
    aspects=CAMERA_ASPECTS,
    levels=parse_levels("4,3,2,1,1/192,1@12/192,1@8/192,held"),
    prompt="comic",
    note="the embedded demo model: a small style vocabulary, not open-ended text",
    reduced_precision=True,
    embedded=True,
)
DEFAULT_PRESET = _TINY.name

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            _TINY,
            _WAN_1_3B,
            replace(
                _WAN_1_3B,
                name="wan-1.3b-fast",
                cache=CacheParams(slots=5, sinks=2),
                codec="wan+taehv",
            ),
            _WAN_14B,
        )
    }
)
