"""The names of a model's tensors, whoever wrote the file. Pure.

Training scripts save a model under a key of their own and with the prefixes of what they wrapped it
in; ComfyUI puts it beside other models; diffusers and transformers name the layers otherwise.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from slipstream_engine.checkpoints.other_names import original_names

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
_FLAT_CONTAINERS = (
    "generator.",
    "generator_ema.",
    "state_dict.",
    "ema.",
    "model.diffusion_model.",
)
_LEADING_PREFIXES = ("model.", "module.", "diffusion_model.", "transformer.")
_WRAPPER_PREFIXES = (  # also stand inside a name
    "_fsdp_wrapped_module.",
    "_orig_mod.",
    "_checkpoint_wrapped_module.",
)


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
    originals, whose = original_names(names.values())
    if whose:
        form.append(whose)
        kept_names = {key: originals[name] for key, name in names.items()}
        names = {key: name for key, name in kept_names.items() if name is not None}
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
