"""What a model's parts cost on a device: measured times, bytes, and how fast each device is. Pure.

In a file they are JSON, in milliseconds and bytes:

    {"encode_ms": 50.5, "decode_ms": 89.5, "block_ms": [3.7, 3.7, 3.7, 3.7], "pass_ms": 0.7}
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from slipstream_engine.parallel.pipeline_partition import RankLoad

_Ms = Annotated[float, Meta(ge=0)]
_Size = Annotated[int, Meta(ge=0)]


class ModelCosts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The costs of one chunk of one stream on the device that all others are compared with.

    Args:
        encode_ms, decode_ms: of the codec.
        block_ms: of each block of the transformer, for each step that a pass holds.
        pass_ms: of each block beside that, once a pass however many steps it holds.
        activations_ms: to send the activations of one step over a link.
        latents_ms: to send a chunk's latents over a link.
        block_bytes: weights of one block.
        cache_bytes: keys and values of one block for one step of one stream.
        encode_bytes, decode_bytes: weights and state of the codec's halves.
    """

    encode_ms: _Ms
    decode_ms: _Ms
    block_ms: Annotated[tuple[_Ms, ...], Meta(min_length=1)]
    pass_ms: _Ms = 0.0
    activations_ms: _Ms = 0.0
    latents_ms: _Ms = 0.0
    block_bytes: _Size = 0
    cache_bytes: _Size = 0
    encode_bytes: _Size = 0
    decode_bytes: _Size = 0

    @property
    def blocks(self) -> int:
        """Of the transformer."""
        return len(self.block_ms)

    def pass_block_ms(self, steps: int) -> tuple[float, ...]:
        """The time of each block in a pass that holds so many steps; none in a pass of none."""
        if not steps:
            return (0.0,) * self.blocks
        return tuple(self.pass_ms + steps * block_ms for block_ms in self.block_ms)


class DeviceCosts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device among others.

    Args:
        slowness: its time for anything, divided by the time in the `ModelCosts`.
        memory_bytes: for weights and caches; None where that is not looked at.
    """

    slowness: Annotated[float, Meta(gt=0)] = 1.0
    memory_bytes: _Size | None = None


def rank_load(
    costs: ModelCosts, device: DeviceCosts, *, cache_rows: int, encodes: bool, decodes: bool
) -> RankLoad:
    """What the partition must know of a rank; one with a part of the codec may hold no blocks.

    Args:
        cache_rows: steps times streams whose caches it holds for each of its blocks.
    """
    max_blocks = None
    block_bytes = costs.block_bytes + costs.cache_bytes * cache_rows
    if device.memory_bytes is not None and block_bytes:
        codec_bytes = encodes * costs.encode_bytes + decodes * costs.decode_bytes
        max_blocks = max(0, device.memory_bytes - codec_bytes) // block_bytes
    fixed_ms = encodes * costs.encode_ms + decodes * costs.decode_ms
    return RankLoad(
        fixed_ms=fixed_ms * device.slowness,
        slowness=device.slowness,
        min_blocks=0 if encodes or decodes else 1,
        max_blocks=max_blocks,
    )


def read_costs(text: bytes | str) -> ModelCosts:
    """The costs of a JSON file.

    Raises:
        ValueError: if it is not one; the text names the place and the rule.
    """
    return msgspec.json.decode(text, type=ModelCosts)
