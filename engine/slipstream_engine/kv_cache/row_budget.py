"""How many cache rows a stream gets: one for each denoising step it may run. Pure."""

from slipstream_engine.config import CacheParams, DitParams, ScheduleParams

# of the memory that is free once the weights are loaded: what the rows of further steps may take;
# the rest is for codecs, prompts, graphs and what passes compute in
FURTHER_ROWS_SHARE = 0.4


def row_bytes(
    dit: DitParams, params: CacheParams, *, frame_tokens: int, bytes_per_number: int
) -> int:
    """Keys and values of one row, of all layers."""
    return 2 * dit.layers * params.slots * frame_tokens * dit.dim * bytes_per_number


def affordable_steps(
    schedule: ScheduleParams, *, step_bytes: int, free_bytes: int | None, asked: int | None
) -> int:
    """The most steps that a stream may run.

    Args:
        step_bytes: of the rows of one step, of all streams.
        free_bytes: of the device; None where it is not known.
        asked: what the configuration says; None for those of a new stream, and of the further ones
            as many as leave memory for all else.

    Raises:
        ValueError: if more are asked for than the model has, or fewer than a new stream runs.
    """
    most = len(schedule.step_list)
    if asked is not None:
        if not schedule.steps <= asked <= most:
            raise ValueError(
                f"max_steps is {asked}, it must lie in {schedule.steps}, the steps of a new "
                f"stream, to {most}, those of the model"
            )
        return asked
    if free_bytes is None:
        return most
    afforded = int(FURTHER_ROWS_SHARE * free_bytes) // step_bytes
    return min(max(afforded, schedule.steps), most)
