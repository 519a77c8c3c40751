"""Whether the fused kernels can be used on a device, and if not, why."""

from importlib import metadata
from importlib.util import find_spec

import torch

OLDEST_CAPABILITY = (8, 0)  # bfloat16 in hardware


def why_not_fused(device: torch.device) -> str:
    """Why the kernels cannot be used on `device`, for people; empty if they can."""
    if device.type != "cuda":
        return f"the device is {device.type}"
    if find_spec("triton") is None:
        return "triton is not installed (pip install triton)"
    capability = torch.cuda.get_device_capability(device)
    if capability < OLDEST_CAPABILITY:
        found, least = (".".join(map(str, version)) for version in (capability, OLDEST_CAPABILITY))
        return f"the GPU has compute capability {found}, they need {least}"
    return ""


def fused_note(device: torch.device) -> str:
    """One line on which kernels run, for people; empty where nobody would expect fused ones."""
    if device.type != "cuda":
        return ""
    reason = why_not_fused(device)
    if reason:
        return f"kernels not fused: {reason}"
    return f"kernels fused by triton {metadata.version('triton')}"
