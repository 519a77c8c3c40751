"""Which tensors are quantised, and what makes them whole again. Pure.

Weights in float8 with a scale of their own, as ComfyUI, torchao and compressed-tensors write them,
are exactly weight times scale: one scale for the matrix, or one for each row. Every other scheme
is refused by its name: a guess would load as a model that makes noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_FLOAT8 = ("float8_e4m3fn", "float8_e5m2")
_SCALE_DTYPES = ("float32", "float16", "bfloat16")
_SCALES = ("scale_weight", "weight_scale")  # beside a module's `weight`
# scales of what goes into a layer, for arithmetic in float8, and marks: of no use to whole weights
_UNUSED = (".scale_input", ".input_scale", ".comfy_quant")
_MARKS = frozenset({"scaled_fp8"})
_REFUSED: Mapping[str, str] = {
    ".lora_A.": "a LoRA, a change to a model; merge it into its model first",
    ".lora_B.": "a LoRA, a change to a model; merge it into its model first",
    ".lora_up.": "a LoRA, a change to a model; merge it into its model first",
    ".lora_down.": "a LoRA, a change to a model; merge it into its model first",
    ".weight_scale_inv": "float8 in blocks",
    ".absmax": "bitsandbytes",
    ".quant_state.": "bitsandbytes",
    ".SCB": "bitsandbytes",
    ".qweight": "GPTQ, AWQ or SVDQuant",
    ".qzeros": "GPTQ or AWQ",
    ".weight_packed": "compressed-tensors, packed",
    ".weight_scale_2": "NVFP4",
    ".weight._data": "optimum-quanto",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorKind:
    """Shape and dtype of a tensor as the file has it, the dtype by torch's name: `bfloat16`."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantisation:
    """What to do with a file's tensors.

    Args:
        scales: for each quantised tensor, the name of what it is to be multiplied with.
        unused: names that are no part of the model.
        refusal: the scheme that cannot be undone, and a tensor that shows it; empty if none.
    """

    scales: Mapping[str, str]
    unused: frozenset[str]
    refusal: str = ""


def find_quantisation(tensors: Mapping[str, TensorKind]) -> Quantisation:
    """Look for scales and for the marks of other schemes, by names, shapes and dtypes."""
    for name in tensors:
        for mark, scheme in _REFUSED.items():
            if mark in name:
                return Quantisation(scales={}, unused=frozenset(), refusal=f"{scheme} ({name})")
    scales: dict[str, str] = {}
    for name, weight in tensors.items():
        module, _, leaf = name.rpartition(".")
        if leaf != "weight" or weight.dtype not in _FLOAT8:
            continue
        for scale in (f"{module}.{suffix}" for suffix in _SCALES):
            if scale in tensors and _fits(tensors[scale], weight):
                scales[name] = scale
    unused = {n for n in tensors if n in _MARKS or n.endswith(_UNUSED)}
    return Quantisation(scales=scales, unused=frozenset(unused | set(scales.values())))


def _fits(scale: TensorKind, weight: TensorKind) -> bool:
    """Whether it is one number, or one for each row."""
    rows = weight.shape[0] if weight.shape else 1
    is_one = all(size == 1 for size in scale.shape)
    is_by_row = scale.shape[:1] == (rows,) and all(size == 1 for size in scale.shape[1:])
    return scale.dtype in _SCALE_DTYPES and (is_one or is_by_row)
