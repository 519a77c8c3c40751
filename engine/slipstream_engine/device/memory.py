"""How much memory a device has left, where it can be known."""

import os
from pathlib import Path
from typing import Protocol

import torch

_MEMINFO, _STATM = Path("/proc/meminfo"), Path("/proc/self/statm")


class DeviceMemory(Protocol):
    def used_bytes(self) -> int:
        """What this process holds."""
        ...

    def free_bytes(self) -> int:
        """What it may still take."""
        ...


class CudaMemory:
    """A GPU's; what torch has in reserve is as good as free."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def used_bytes(self) -> int:
        return int(torch.cuda.memory_allocated(self._device))

    def free_bytes(self) -> int:
        free, _ = torch.cuda.mem_get_info(self._device)
        return int(free + torch.cuda.memory_reserved(self._device) - self.used_bytes())


class HostMemory:
    """Linux's own account of this machine."""

    def used_bytes(self) -> int:
        resident_pages = int(_STATM.read_text().split()[1])
        return resident_pages * os.sysconf("SC_PAGE_SIZE")

    def free_bytes(self) -> int:
        rows = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
        return int(rows["MemAvailable"].split()[0]) * 1024


def memory_of(device: torch.device) -> DeviceMemory | None:
    """The account of a device's memory, or None where nobody keeps one."""
    if device.type == "cuda":
        return CudaMemory(device)
    return HostMemory() if _MEMINFO.exists() and device.type == "cpu" else None
