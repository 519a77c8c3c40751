"""Which builds of torch convolve in three dimensions without cuDNN, and how it is set."""

import re

import torch

_CUDNN_NEEDED = 91500


def why_no_cudnn_conv3d(torch_version: str, cudnn_version: int | None) -> str:
    """Why bfloat16 convolutions over time and space would run without cuDNN; empty if they do not.

    torch 2.9.0 leaves it out, 2.9.1 and later where cuDNN is older than 9.15, whose kernels were
    wrong: what runs instead takes about 17 times the memory (pytorch issue 166643).

    Args:
        cudnn_version: as `torch.backends.cudnn.version()` gives it, 91501 for 9.15.1.
    """
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", torch_version)
    version = tuple(int(part) for part in found.groups()) if found else (0, 0, 0)
    if version[:2] != (2, 9):
        return ""
    if version == (2, 9, 0):
        return (
            f"torch is {torch_version}, which convolves bfloat16 over time without cuDNN, in about "
            "17 times the memory; install 2.10 or newer, or 2.8"
        )
    if (cudnn_version or 0) < _CUDNN_NEEDED:
        return (
            f"torch is {torch_version} with cuDNN {cudnn_version}, which convolves bfloat16 over "
            "time without cuDNN, in about 17 times the memory; it needs cuDNN 9.15 "
            "(pip install 'nvidia-cudnn-cu12>=9.15', or -cu13), or torch 2.10"
        )
    return ""


def check_conv3d() -> None:
    """Refuse a torch that would fail a codec with convolutions over time.

    Raises:
        ValueError: with what was found, and what to install.
    """
    if reason := why_no_cudnn_conv3d(torch.__version__, torch.backends.cudnn.version()):
        raise ValueError(reason)


def choose_convolutions_by_timing() -> None:
    """Let cuDNN time its algorithms once a shape: a stream's shapes stay, and warming up meets all
    of them before anything is recorded."""
    torch.backends.cudnn.benchmark = True
