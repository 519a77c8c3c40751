"""A real preset, sized down, runs end to end from files: codecs, umT5 and the same pipeline."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from slipstream_engine.conditioning.prompts import MAX_TEXTS
from slipstream_engine.errors import CheckpointError
from slipstream_engine.models.dit.transformer import CausalDit
from slipstream_engine.models.text.umt5 import Umt5Encoder
from slipstream_engine.presets import PRESETS
from slipstream_engine.weights.registry import BUNDLES, GENERATORS, UMT5, WAN_VAE, files_of
from slipstream_protocol.parameters import Parameters, Prompt
from torch import Tensor

from tests.engine import small_real
from tests.engine.small_text import encoders_in_memory

DEADLINE_S = 20
CODEC_NAMES = ("wan", "taehv", "wan+taehv", "taehv+wan")


def refusal(weights: Path, cache: Path, codec: str = "wan") -> str:
    with pytest.raises(CheckpointError) as caught:
        small_real.make(weights, cache, small_real.preset(codec=codec))
    return str(caught.value)


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_frames_come_from_files_and_depend_on_the_prompt(tmp_path: Path, codec: str) -> None:
    """a fresh process makes the same frames from the same files, others for another prompt."""
    weights = small_real.write_weights(tmp_path / "weights")
    preset, cache = small_real.preset(codec=codec), tmp_path / "cache"
    first = small_real.pictures(weights, cache, preset, "a cat sits")
    assert [len(chunk) for chunk in first] == [5, 4, 4]
    again = small_real.pictures(weights, cache, preset, " a  cat sits")
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    other = small_real.pictures(weights, cache, preset, "a dog runs")
    assert not np.array_equal(first[0], other[0])


def test_each_side_of_the_codec_counts(tmp_path: Path) -> None:
    """each choice of codecs gives an output of its own."""
    weights = small_real.write_weights(tmp_path / "weights")
    presets = [small_real.preset(codec=codec) for codec in CODEC_NAMES]
    generated = [
        small_real.pictures(weights, tmp_path / "cache", p, "a cat sits")[0] for p in presets
    ]
    assert len({chunk.tobytes() for chunk in generated}) == len(presets)


def test_the_files_of_a_preset_are_exactly_those_it_reads() -> None:
    """the reference's fast mode needs both codecs, every other preset one."""
    names = {name: {a.file for a in files_of(PRESETS[name])} for name in GENERATORS}
    text = {"umt5-xxl.safetensors", "umt5-tokenizer.json"}
    wan, taehv = "wan-vae.safetensors", "taew2_1.safetensors"
    assert names == {
        "wan-1.3b": {"wan-1.3b.safetensors", wan, *text},
        "wan-1.3b-fast": {"wan-1.3b.safetensors", wan, taehv, *text},
        "wan-14b": {"wan-14b.safetensors", wan, *text},
    }
    light = files_of(replace(PRESETS["wan-1.3b"], codec="taehv"))
    assert {a.file for a in light} == {"wan-1.3b.safetensors", taehv, *text}


def test_every_real_preset_can_be_pulled_by_its_name() -> None:
    for name in GENERATORS:
        assert BUNDLES[name] == files_of(PRESETS[name])


@pytest.mark.parametrize(
    ("codec", "absent", "pulls"),
    [
        ("wan", "wan-vae.safetensors, umt5-tokenizer.json", ("wan-1.3b",)),
        ("taehv", "taew2_1.safetensors, umt5-tokenizer.json", ("wan-1.3b", "wan-1.3b-fast")),
        ("wan+taehv", "taew2_1.safetensors", ("wan-1.3b-fast",)),
    ],
)
def test_absent_files_are_named_before_any_work(
    tmp_path: Path, codec: str, absent: str, pulls: tuple[str, ...]
) -> None:
    """every absent file stands in one message with the commands that bring them."""
    weights = small_real.write_weights(tmp_path / "weights")
    for file in absent.split(", "):
        (weights / file).unlink()
    commands = (f"slipstream-engine pull {name} --weights {weights}" for name in pulls)
    assert refusal(weights, tmp_path / "cache", codec) == (
        f"preset wan-1.3b needs {absent} in {weights}, run: {' && '.join(commands)}"
    )


def test_another_models_file_is_refused(tmp_path: Path) -> None:
    """the wrong checkpoint under the right name is recognised by its shapes."""
    weights = small_real.write_weights(tmp_path / "weights")
    wider = CausalDit(replace(small_real.DIT, dim=128))
    save_file(wider.state_dict(), weights / "wan-1.3b.safetensors")
    reason = refusal(weights, tmp_path / "cache")
    assert "wan-1.3b.safetensors is not a checkpoint of this model" in reason
    assert "patch_embedding.bias: the file has [128], the model wants [64]" in reason


@pytest.mark.parametrize("file", [WAN_VAE.file, UMT5.file])
def test_half_a_file_is_refused_before_the_model_is_read(tmp_path: Path, file: str) -> None:
    """headers are compared first: a NaN in the model would show only when it is read."""
    weights = small_real.write_weights(tmp_path / "weights")
    _spoil(weights / "wan-1.3b.safetensors", "head.head.bias")
    content = (weights / file).read_bytes()
    (weights / file).write_bytes(content[:-100])
    assert f"{weights / file} is truncated or not a safetensors file, pull it again" in refusal(
        weights, tmp_path / "cache"
    )


@pytest.mark.parametrize(
    ("file", "name"),
    [("wan-1.3b.safetensors", "blocks.1.ffn.0.weight"), (WAN_VAE.file, "decoder.conv1.bias")],
)
def test_a_nan_in_a_file_is_refused(tmp_path: Path, file: str, name: str) -> None:
    """one bad number in model or codec is named with its tensor."""
    weights = small_real.write_weights(tmp_path / "weights")
    _spoil(weights / file, name)
    assert f"{weights / file} holds NaN or infinity in {name}" in refusal(weights, tmp_path / "c")


def test_a_broken_tokenizer_is_refused_at_once(tmp_path: Path) -> None:
    weights = small_real.write_weights(tmp_path / "weights")
    (weights / "umt5-tokenizer.json").write_text("{")
    assert "is truncated or not a tokenizer.json, pull it again" in refusal(weights, tmp_path / "c")


def _spoil(file: Path, name: str) -> None:
    tensors = load_file(file)
    tensors[name].flatten()[0] = torch.nan
    save_file(tensors, file)


class HeldEncoder:
    """Holds umT5 back before each new prompt until `opened` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = threading.Event()
        self.entered = threading.Event()
        self.threads: set[str] = set()
        forward = Umt5Encoder.forward

        def held(encoder: Umt5Encoder, ids_BL: Tensor) -> Tensor:
            self.threads.add(threading.current_thread().name)
            self.entered.set()
            assert self.opened.wait(DEADLINE_S)
            return forward(encoder, ids_BL)

        monkeypatch.setattr(Umt5Encoder, "forward", held)


def test_no_chunk_waits_for_a_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """while umT5 works in its thread, chunks have the old prompt, then the new one."""
    weights = small_real.write_weights(tmp_path / "weights")
    pipeline = small_real.make(weights, tmp_path / "cache")
    pipeline.warm_up()  # encodes the preset's own prompt
    steady = pipeline.open(Parameters())
    encoder = HeldEncoder(monkeypatch)
    stream = pipeline.open(Parameters(prompt="a dog runs"))
    assert encoder.entered.wait(DEADLINE_S)
    assert stream.prompts == (Prompt("a dog runs"),)
    before = small_real.run(pipeline, stream, range(3))
    same = small_real.run(pipeline, steady, range(3))
    assert all(np.array_equal(a, b) for a, b in zip(before, same, strict=True))
    encoder.opened.set()
    stream.await_prompts()
    after = small_real.run(pipeline, stream, range(3, 4))[0]
    assert not np.array_equal(after, small_real.run(pipeline, steady, range(3, 4))[0])
    assert encoder.threads == {"text"}
    pipeline.close()


def test_the_presets_prompt_stays_warm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """opening never waits for the encoder, however many prompts came since."""
    weights = small_real.write_weights(tmp_path / "weights")
    pipeline = small_real.make(weights, tmp_path / "cache")
    pipeline.warm_up()
    expected = small_real.run(pipeline, pipeline.open(Parameters()), range(1))[0]
    for number in range(MAX_TEXTS):
        other = pipeline.open(Parameters(prompt=f"a cat {number}"))
        other.await_prompts()
        other.close()
    encoder = HeldEncoder(monkeypatch)
    stream = pipeline.open(Parameters(prompt="a cat runs"))
    assert encoder.entered.wait(DEADLINE_S)
    assert np.array_equal(small_real.run(pipeline, stream, range(1))[0], expected)
    assert encoder.threads == {"text"}
    encoder.opened.set()
    pipeline.close()


def test_closing_ends_the_thread_and_frees_the_encoder(tmp_path: Path) -> None:
    """after a close no thread of the pipeline runs and umT5 takes no memory."""
    threads, encoders = text_threads(), encoders_in_memory()
    weights = small_real.write_weights(tmp_path / "weights")
    pipeline = small_real.make(weights, tmp_path / "cache")
    pipeline.open(Parameters(prompt="a dog sits")).await_prompts()
    assert text_threads() == threads + 1
    assert encoders_in_memory() == encoders + 1
    pipeline.close()
    assert text_threads() == threads
    assert encoders_in_memory() == encoders


def text_threads() -> int:
    return sum(thread.name == "text" for thread in threading.enumerate())
