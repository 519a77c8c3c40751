"""How much memory a device has in use and free, where it can be known."""

import os
import resource
import sys
from pathlib import Path
from typing import Protocol

import torch

_MEMINFO, _STATM = Path("/proc/meminfo"), Path("/proc/self/statm")


class DeviceMemory(Protocol):
    def used_bytes(self) -> int:
        """Memory this process has allocated."""
        ...

    def free_bytes(self) -> int:
        """Memory it may still allocate."""
        ...


class CudaMemory:
    """A GPU's memory; what torch's allocator keeps in reserve counts as free."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def used_bytes(self) -> int:
        return int(torch.cuda.memory_allocated(self._device))

    def free_bytes(self) -> int:
        free, _ = torch.cuda.mem_get_info(self._device)
        return int(free + torch.cuda.memory_reserved(self._device) - self.used_bytes())


class HostMemory:
    """This machine's memory, as Linux reports it."""

    def used_bytes(self) -> int:
        resident_pages = int(_STATM.read_text().split()[1])
        return resident_pages * os.sysconf("SC_PAGE_SIZE")

    def free_bytes(self) -> int:
        rows = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
        return int(rows["MemAvailable"].split()[0]) * 1024


def memory_of(device: torch.device) -> DeviceMemory | None:
    """The memory of a device; None where it cannot be known."""
    if device.type == "cuda":
        return CudaMemory(device)
    return HostMemory() if _MEMINFO.exists() and device.type == "cpu" else None


def peak_bytes(device: torch.device) -> int:
    """The most memory that was in use: of a GPU by torch, else by this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return resident if sys.platform == "darwin" else resident * 1024
