"""Where umT5 computes: on the GPU where all streams fit beside it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_engine.conditioning.encoder_placement import EncoderPlacement, place_encoder

GB = 10**9
ENCODER_GB, SMALL_GB, LARGE_GB = 11.4, 9.7, 36.3  # umT5; 1.3B with two streams; 14B with one
ON_GPU, ON_HOST = EncoderPlacement(on_gpu=True, stays=True), EncoderPlacement(stays=True)


@pytest.mark.parametrize(
    ("model_gb", "streams", "gpu_gb", "host_gb", "placement"),
    [
        (SMALL_GB, 2, 24, 64, ON_HOST),
        (SMALL_GB, 2, 48, 64, ON_GPU),
        (LARGE_GB, 1, 80, 16, ON_GPU),
        (LARGE_GB, 1, 48, 16, EncoderPlacement()),
        (SMALL_GB, 2, None, 20, EncoderPlacement()),
        (SMALL_GB, 2, None, None, EncoderPlacement()),
        (SMALL_GB, 2, None, 24, ON_HOST),
    ],
)
def test_on_usual_machines(
    model_gb: float,
    streams: int,
    gpu_gb: float | None,
    host_gb: float | None,
    placement: EncoderPlacement,
) -> None:
    found = place_encoder(
        encoder_bytes=round(ENCODER_GB * GB),
        gpu_free_bytes=None if gpu_gb is None else round(gpu_gb * GB),
        model_bytes=round(model_gb * GB),
        streams=streams,
        host_free_bytes=None if host_gb is None else round(host_gb * GB),
    )
    assert found == placement


@given(*(st.integers(0, 200 * GB) for _ in range(4)), st.integers(1, 8))
def test_more_streams_never_bring_it_onto_the_gpu(
    encoder: int, gpu: int, model: int, host: int, streams: int
) -> None:
    """and what is on the GPU leaves the model and its streams their room."""

    def placed(streams: int) -> EncoderPlacement:
        return place_encoder(
            encoder_bytes=encoder,
            gpu_free_bytes=gpu,
            model_bytes=model,
            streams=streams,
            host_free_bytes=host,
        )

    assert placed(streams).on_gpu >= placed(streams + 1).on_gpu
    assert not placed(streams).on_gpu or encoder + model < gpu
