"""Takes those timesteps off a configuration for whose cache rows there is no memory."""

from dataclasses import replace

from slipstream_engine.config import EngineConfig
from slipstream_engine.device.memory import DeviceMemory
from slipstream_engine.kv_cache.row_budget import affordable_steps, row_bytes
from slipstream_engine.models.dit.transformer import CausalDit


def limit_steps(
    config: EngineConfig, model: CausalDit, *, frame_tokens: int, memory: DeviceMemory | None
) -> tuple[EngineConfig, str]:
    """The configuration with no more timesteps than there are rows for, and a note on it.

    Args:
        memory: of the device, the model being loaded; None where it cannot be known.

    Raises:
        ValueError: if the configuration's `max_steps` is not possible.
    """
    preset, schedule = config.preset, config.preset.schedule
    step_bytes = config.max_streams * row_bytes(
        model.params,
        preset.cache,
        frame_tokens=frame_tokens,
        bytes_per_number=model.dtype.itemsize,
    )
    steps = affordable_steps(
        schedule,
        step_bytes=step_bytes,
        free_bytes=memory.free_bytes() if memory else None,
        asked=config.max_steps,
    )
    if steps == len(schedule.step_list):
        return config, ""
    kept = replace(schedule, step_list=schedule.step_list[:steps])
    note = (
        f"at most {steps} of {len(schedule.step_list)} steps, each further one takes "
        f"{step_bytes / 1e9:.1f} GB of memory (--max-steps insists)"
    )
    return replace(config, preset=replace(preset, schedule=kept)), note
