"""Joins ranks by `torch.distributed`: Gloo over loopback for CPUs, NCCL for GPUs.

Process groups are objects here, not the process' only one, so a process may be in several. Ranks
find each other by a file, so no port is agreed on and none can be taken.
"""

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import FileStore, PrefixStore, Store

from slipstream_engine.parallel.links import CudaLink, HostLink, Link
from slipstream_engine.parallel.message_flow import MessageFlow

START_TIMEOUT = timedelta(seconds=120)
_LOOPBACK = "lo"
_LOST_AFTER = timedelta(days=1)  # the leader notices sooner that a rank is lost


def why_not_joined(devices: Sequence[str]) -> str | None:
    """What keeps ranks on these devices from joining, and what to do; None if nothing does."""
    if not dist.is_available():
        return "this torch is built without torch.distributed, install one with it"
    if any(device.startswith("cuda") for device in devices):
        if not dist.is_nccl_available():
            return "this torch is built without NCCL, install one with it, or use one device"
    elif not dist.is_gloo_available():
        return "this torch is built without Gloo, install one with it, or use one device"
    return None


def joined_by(devices: Sequence[str]) -> str:
    """What carries messages between ranks on these devices, with its version, for people."""
    if any(device.startswith("cuda") for device in devices):
        return f"NCCL {'.'.join(map(str, torch.cuda.nccl.version()))}"
    return f"Gloo of torch {torch.__version__}"


class ProcessGroup:
    """A rank's connections to the others.

    Args:
        store: a file in a folder of the group's own.
        pairs: of ranks that may exchange anything, sender first, with the flow; equal on all ranks.
    """

    def __init__(
        self,
        store: Path,
        *,
        rank: int,
        ranks: int,
        device: torch.device,
        pairs: Sequence[tuple[int, int, MessageFlow]],
    ) -> None:
        self._rank = rank
        self._device = device
        self._links: dict[tuple[int, int, MessageFlow], Link] = {}
        files = FileStore(str(store), ranks)
        files.set_timeout(START_TIMEOUT)
        if device.type == "cuda":
            self._join_by_pairs(files, pairs)
            return
        os.environ.setdefault("GLOO_SOCKET_IFNAME", _LOOPBACK)  # nothing leaves this machine
        self._gloo = dist.ProcessGroupGloo(files, rank, ranks, _LOST_AFTER)

    def link(self, other: int, sends: bool, flow: MessageFlow) -> Link:
        """The link to another rank, or the one from it."""
        pair = (self._rank, other, flow) if sends else (other, self._rank, flow)
        if pair not in self._links:
            self._links[pair] = HostLink(self._gloo, other, flow)
        return self._links[pair]

    def _join_by_pairs(self, files: Store, pairs: Sequence[tuple[int, int, MessageFlow]]) -> None:
        """A communicator for each direction and flow of each pair, see `CudaLink`; opened before it
        is used, for the first call of one waits for both ends."""
        for pair in pairs:
            if self._rank not in pair[:2]:
                continue
            place = pair[:2].index(self._rank)
            store = PrefixStore("{}-{}-{}".format(*pair), files)
            options = dist.ProcessGroupNCCL.Options()
            options._timeout = START_TIMEOUT
            group = dist.ProcessGroupNCCL(store, place, 2, options)
            link = CudaLink(group, 1 - place, self._device)
            buffer = torch.zeros(1, dtype=torch.uint8, device=self._device)
            (link.send if place == 0 else link.receive)(buffer).wait()
            self._links[pair] = link
