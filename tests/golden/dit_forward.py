"""Family b: single forward passes of the transformer, with the activations of every part."""

from collections.abc import Callable
from typing import Any

from einops import rearrange
from slipstream_engine.kv_cache.positions import position_of, to_device
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.models.dit.transformer import CausalDit
from torch import Tensor, nn

from tests.golden.case import Case, Replay
from tests.golden.streaming import cache_params, load_dit


def replay(case: Case) -> Replay:
    model = load_dit(case)
    return Replay(tensors=_at_once(case, model) if case.has("in.x") else _cached(case, model))


def _at_once(case: Case, model: CausalDit) -> dict[str, Tensor]:
    """The forward passes without a cache, as in training: causal between blocks."""
    x = rearrange(case.tensor("in.x"), "b c f h w -> b f c h w")
    frames, height, width = x.shape[1], *x.shape[-2:]
    block = case.config.get("num_frame_per_block", frames)
    blocks = tuple(min(block, frames - start) for start in range(0, frames, block))
    context = model.clip_context(blocks, height=height, width=width)
    t = case.tensor("in.t")
    t_BF = t[:, None].expand(-1, frames) if t.ndim == 1 else t
    flow = model(x, t_BF, model.condition(case.tensor("in.context")), context)
    return {"out.flow": rearrange(flow, "b f c h w -> b c f h w")}


def _cached(case: Case, model: CausalDit) -> dict[str, Tensor]:
    """Two chunks, the second of which attends to the first in the cache."""
    tensors: dict[str, Tensor] = {}
    params = cache_params(case.config)
    first = rearrange(case.tensor("in.first.x"), "b c f h w -> b f c h w")
    batch, height, width = first.shape[0], *first.shape[-2:]
    rows, columns = model.grid(height, width)
    cache = RollingCache(
        model.params,
        params,
        rows=batch,
        frame_tokens=rows * columns,
        device=first.device,
        dtype=first.dtype,
    )
    text: dict[str, Tensor] = {}
    with _watched(model, text):
        conditioning = model.condition(case.tensor("in.context"))
    past_frames = 0
    for name in ("first", "second"):
        x = rearrange(case.tensor(f"in.{name}.x"), "b c f h w -> b f c h w")
        positions = to_device(
            [position_of(params, past_frames=past_frames, frames=x.shape[1])] * batch, x.device
        )
        activations = dict(text)
        with _watched(model, activations):
            context = model.kv_cache_context(cache, positions, height=height, width=width)
            flow = model(x, case.tensor(f"in.{name}.t"), conditioning, context)
        activations["patch_embedding"] = model.embed(x)
        tensors[f"out.{name}.flow"] = rearrange(flow, "b f c h w -> b c f h w")
        for part, activation in activations.items():
            tensor = f"act.{name}.{part}"
            if case.has(tensor):
                tensors[tensor] = activation.reshape(case.description["tensors"][tensor]["shape"])
        past_frames += x.shape[1]
    for layer in range(model.params.layers):
        tensors[f"kv.{layer}.k"] = cache.k_NRKSHD[layer].flatten(1, 2)
        tensors[f"kv.{layer}.v"] = cache.v_NRKSHD[layer].flatten(1, 2)
        tensors[f"crossattn.{layer}.k"] = conditioning.k_NBTHD[layer]
        tensors[f"crossattn.{layer}.v"] = conditioning.v_NBTHD[layer]
    return tensors


class _watched:
    """A context in which the output of every named part of the model is recorded."""

    def __init__(self, model: CausalDit, activations: dict[str, Tensor]) -> None:
        self._hooks = [
            module.register_forward_hook(self._note(_golden_name(name), activations))
            for name, module in model.named_modules()
        ]

    @staticmethod
    def _note(
        name: str, activations: dict[str, Tensor]
    ) -> Callable[[nn.Module, Any, Tensor], None]:
        def note(module: nn.Module, args: Any, output: Tensor) -> None:
            activations[name] = output

        return note

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:
            hook.remove()


def _golden_name(module: str) -> str:
    """The vectors' name of a module: `block3.self_attn` for `blocks.3.self_attn`."""
    return module.replace("blocks.", "block", 1)
