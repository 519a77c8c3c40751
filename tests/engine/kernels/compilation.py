"""`python -m tests.engine.kernels.compilation`: compiles every kernel to a GPU's code, without one.

Triton's interpreter takes much that its compiler does not.
"""

from typing import Any

from slipstream_engine.kernels import triton_kernels
from triton import compile as compile_kernel
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

H100 = GPUTarget("cuda", 90, 32)
HALF, SINGLE, WHOLE = "*bf16", "*fp32", "*i64"
FLAGS: dict[str, list[dict[str, Any]]] = {
    "_residual_norm": [
        {"HAS_Y": has_y, "HAS_GATE": has_gate, "IS_MODULATED": is_modulated, "BLOCK": 2048}
        for has_y, has_gate in ((False, False), (True, False), (True, True))
        for is_modulated in (False, True)
    ],
    "_rms_norm": [{"BLOCK": 2048}],
    "_norm_silu_window": [
        {"GROUP": triton_kernels.GROUP_PIXELS, "BLOCK": block} for block in (128, 512)
    ],
    "_norm_rotate": [{"GROUP": triton_kernels.GROUP_TOKENS, "BLOCK": 1024}],
    "_choose_slots": [
        {"SINKS": 3, "PINNED": 3, "RING": 3, "COUNT_UNWRITTEN": counted, "BLOCK": 2048}
        for counted in (True, False)
    ],
    "_store_frame": [{"BLOCK": 2048}],
}
SINGLES = {"turns_ptr", "sums_ptr", "mean_ptr"}
WHOLES = {"rows_ptr", "fill_ptr", "head_ptr", "pending_ptr", "count_ptr", "slots_ptr"}


def kind_of(argument: str) -> str:
    if argument in SINGLES:
        return SINGLE
    if argument in WHOLES:
        return WHOLE
    if argument.endswith("_ptr"):
        return HALF
    return "fp32" if argument in ("eps", "threshold") else "i32"


def compile_one(name: str, flags: dict[str, Any]) -> None:
    kernel = getattr(triton_kernels, name)
    arguments: list[str] = kernel.arg_names
    signature = {each: "constexpr" if each in flags else kind_of(each) for each in arguments}
    constants = {(arguments.index(flag),): value for flag, value in flags.items()}
    compile_kernel(ASTSource(kernel, signature, constants), target=H100)
    print(name, "compiled")


if __name__ == "__main__":
    for name, variants in FLAGS.items():
        for flags in variants:
            compile_one(name, flags)
