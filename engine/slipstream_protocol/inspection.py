"""What the engine's commands report of a machine: one JSON object each, on standard output."""

import msgspec


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU that torch sees."""

    name: str
    memory_bytes: int
    capability: str


class PeerLink(msgspec.Struct, frozen=True, kw_only=True):
    """How two GPUs exchange memory.

    Args:
        is_direct: not through the host's memory.
    """

    one: str
    other: str
    is_direct: bool


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """From `inspect`: where an engine would compute, and whether it could.

    Args:
        torch: its version.
        cuda: that torch was built for; None for a build without.
        device: chosen for the preset; None if the requested device is not available.
        device_problem: why preset, size, codec or device cannot be; None where a small product
            came out right on the device.
        weights: their folder; None if there is no device.
        weights_problem: which files are absent, and how to get them; None if none is.
        checkpoint: the file that is used in place of the preset's transformer, and what kind of
            file was found; None where none is named.
        gpu: number of the GPU that is chosen; None for another device.
        least_bytes: that the preset takes of its memory, all streams together; None without a GPU.
        unfused: why its kernels are not fused; empty where they are, or nobody would expect it.
        joined_by: what carries messages between several devices, with its version; empty for one.
        join_problem: why two of the devices could not exchange a message; None where all that
            follow each other did, or there is one.
        megabyte_ms: what a message of 1 MB takes between two of them, at the most; None where that
            was not measured.
        links: of each pair of GPUs among these.
    """

    torch: str
    cuda: str | None
    gpus: tuple[Gpu, ...]
    device: str | None
    device_problem: str | None
    weights: str | None
    weights_problem: str | None
    checkpoint: str | None = None
    gpu: int | None = None
    least_bytes: int | None = None
    unfused: str = ""
    joined_by: str = ""
    join_problem: str | None = None
    megabyte_ms: float | None = None
    links: tuple[PeerLink, ...] = ()


class SandboxReport(msgspec.Struct, frozen=True, kw_only=True):
    """From `sandbox`: what keeps an engine from the network on this machine.

    Args:
        held: the measures that the kernel allows.
        missing: the others, each with what the system says.
        network: what could be done on the network all the same, when it was tried.
    """

    held: tuple[str, ...]
    missing: dict[str, str]
    network: tuple[str, ...]
