"""Where prompts are encoded, and whether the encoder stays loaded between them. Pure.

A new prompt while the picture runs is soonest with the encoder on the GPU; in the host's memory it
is computed on the CPU, and where it is in neither its 11 GB are read first.
"""

from dataclasses import dataclass

# beside weights and caches, by the account of the real presets: what a stream takes of codec state,
# prompts and graphs, and what passes and CUDA itself take once
STREAM_BYTES = 8 * 10**9
SHARED_BYTES = 4 * 10**9
_HOST_SHARE = 2  # the host's other half is for whoever else needs it


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderPlacement:
    """Args:
    on_gpu: it computes there, else on the host.
    stays: it is kept between prompts, however long nobody sends one.
    """

    on_gpu: bool = False
    stays: bool = False


def place_encoder(
    *,
    encoder_bytes: int,
    gpu_free_bytes: int | None,
    model_bytes: int,
    streams: int,
    host_free_bytes: int | None,
) -> EncoderPlacement:
    """On the GPU where all streams fit beside it, else in the host's memory if that is ample.

    Args:
        encoder_bytes: of its weights.
        gpu_free_bytes: before anything is loaded; None without a GPU.
        model_bytes: of the model's weights and the caches of all streams.
        streams: that are served at once.
        host_free_bytes: None where that cannot be known.
    """
    if gpu_free_bytes is not None:
        served_bytes = model_bytes + streams * STREAM_BYTES + SHARED_BYTES
        if served_bytes + encoder_bytes <= gpu_free_bytes:
            return EncoderPlacement(on_gpu=True, stays=True)
    is_ample = host_free_bytes is not None and _HOST_SHARE * encoder_bytes <= host_free_bytes
    return EncoderPlacement(stays=is_ample)
