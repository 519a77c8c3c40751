"""What `slipstream-engine inspect` says of a machine, one JSON object on standard output."""

import msgspec


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU that torch sees."""

    name: str
    memory_bytes: int
    capability: str


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """Where an engine would compute, and whether it could.

    Args:
        torch: its version.
        cuda: that torch was built for; None for a build without.
        device: chosen for the preset; None where what is wanted cannot be.
        device_problem: why preset, size, codec or device cannot be; None where a small product
            came out right on the device.
        weights: where they were looked for; None where there is no device.
        weights_problem: what is absent, and how to get it; None where all files are there.
    """

    torch: str
    cuda: str | None
    gpus: tuple[Gpu, ...]
    device: str | None
    device_problem: str | None
    weights: str | None
    weights_problem: str | None
