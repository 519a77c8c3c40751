"""The names of a model's tensors, whoever wrote the file. Pure.

Training scripts save a model under a key of their own and with the prefixes of what they wrapped it
in; ComfyUI puts it beside other models; diffusers gives the layers other names.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# keys under which training scripts save a model, the best first (`spec/01` section 2)
CONTAINERS = (
    "generator",
    "generator_ema",
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "ema",
)
# the same in names of files that cannot nest; a file that has one holds other models beside it
_FLAT_CONTAINERS = ("generator.", "generator_ema.", "state_dict.", "model.diffusion_model.")
_LEADING_PREFIXES = ("model.", "module.", "diffusion_model.", "transformer.")
_WRAPPER_PREFIXES = (  # also stand inside a name
    "_fsdp_wrapped_module.",
    "_orig_mod.",
    "_checkpoint_wrapped_module.",
)

_DIFFUSERS_SIGN = "condition_embedder."
# of diffusers' `WanTransformer3DModel`, as its script that converts the original has them
_DIFFUSERS_PARTS: Mapping[str, str] = {
    "condition_embedder.time_embedder.linear_1.": "time_embedding.0.",
    "condition_embedder.time_embedder.linear_2.": "time_embedding.2.",
    "condition_embedder.text_embedder.linear_1.": "text_embedding.0.",
    "condition_embedder.text_embedder.linear_2.": "text_embedding.2.",
    "condition_embedder.time_proj.": "time_projection.1.",
    "proj_out.": "head.head.",
    ".attn1.": ".self_attn.",
    ".attn2.": ".cross_attn.",
    ".to_q.": ".q.",
    ".to_k.": ".k.",
    ".to_v.": ".v.",
    ".to_out.0.": ".o.",
    ".norm2.": ".norm3.",
    ".ffn.net.0.proj.": ".ffn.0.",
    ".ffn.net.2.": ".ffn.2.",
}
_LAYER_TABLE = re.compile(r"(blocks\.\d+)\.scale_shift_table")


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How the keys of a file are read.

    Args:
        names: of each key that belongs to the model.
        form: what was found, for people: a word or two each.
    """

    names: Mapping[str, str]
    form: tuple[str, ...] = field(default=())


def name_tensors(keys: Iterable[str]) -> Naming:
    """Find the model among a file's keys, and the names of its tensors."""
    listed = list(keys)
    form: list[str] = []
    container = next(
        (c for c in _FLAT_CONTAINERS if any(key.startswith(c) for key in listed)), None
    )
    kept = [key for key in listed if container is None or key.startswith(container)]
    if container is not None and container != "model.diffusion_model.":
        form.append(f"under {container.removesuffix('.')}")
    if len(kept) < len(listed):
        form.append(f"{len(listed) - len(kept)} tensors of other models passed over")
    names = {key: bare_name(key.removeprefix(container or "")) for key in kept}
    removed = {prefix for key, name in names.items() if (prefix := _removed(key, name, container))}
    form += [f"prefix {prefix}" for prefix in sorted(removed)[:2]]
    if any(name.startswith(_DIFFUSERS_SIGN) for name in names.values()):
        form.append("names of diffusers")
        names = {key: _from_diffusers(name) for key, name in names.items()}
    return Naming(names=names, form=tuple(form))


def bare_name(key: str) -> str:
    """A tensor's name without the prefixes of training wrappers."""
    for prefix in _WRAPPER_PREFIXES:
        key = key.replace(prefix, "")
    while prefix := next((p for p in _LEADING_PREFIXES if key.startswith(p)), ""):
        key = key.removeprefix(prefix)
    return key


def _removed(key: str, name: str, container: str | None) -> str:
    """The prefix that a key had; empty where a wrapper stood inside it."""
    shown = container if container == "model.diffusion_model." else ""
    rest = key.removeprefix(container or "")
    return (shown or "") + (rest.removesuffix(name) if rest.endswith(name) else "")


def _from_diffusers(name: str) -> str:
    if name == "scale_shift_table":
        return "head.modulation"
    name = _LAYER_TABLE.sub(r"\1.modulation", name)
    for theirs, ours in _DIFFUSERS_PARTS.items():
        name = name.replace(theirs, ours)
    return name
