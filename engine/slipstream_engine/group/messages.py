"""What the leader of a group tells its ranks, and what they report.

Every rank gets its orders in the order in which the leader gave them out, and carries them out in
that order; whatever one rank sends another, both have been told of in the same order.
"""

import msgspec

from slipstream_engine.config import EngineConfig
from slipstream_engine.diffusion.state import StreamSettings
from slipstream_engine.kv_cache.positions import CachePosition
from slipstream_engine.parallel.plan import PipelinePlan

DECODER = -1  # in place of a path's number: the decoder


class Struct(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Of one such message."""


class Setup(Struct):
    """The first: what this rank is.

    Args:
        rank: its number.
        config: with its device and its share of the model.
        weights: folder of pulled weights.
        random_weights: use random ones instead.
        store: file by which the ranks find each other.
        threads: of torch, on a CPU.
        fingerprint: of the leader's code and weights.
    """

    rank: int
    plan: PipelinePlan
    config: EngineConfig
    weights: str
    random_weights: bool
    store: str
    threads: int
    fingerprint: str


class OpenLane(Struct):
    """A stream begins."""

    stream: int


class CloseLane(Struct):
    """It ends; chunks of it that are under way are dropped."""

    stream: int


class PromptPiece(Struct):
    """A part of an embedding, float32 rows one after the other; `BeginChunk` comes after the last.

    Rows of zeros at its end are left out.
    """

    stream: int
    data: bytes


class BeginChunk(Struct):
    """A chunk begins: it is encoded where the plan says; see `ChunkOrder`.

    Args:
        number: of the pass.
        frames: of the camera.
        has_prompt: pieces of an embedding have come before.
    """

    number: int
    stream: int
    chunk: int
    frames: int
    is_first: bool
    resets_cache: bool
    position: CachePosition
    settings: StreamSettings
    has_prompt: bool


class RunPart(Struct):
    """Run your part of a step of a chunk.

    Args:
        path: number of the path, see `Paths`.
        place: of the rank on it.
    """

    number: int
    stream: int
    chunk: int
    step: int
    path: int
    place: int


class ExpectLatents(Struct):
    """A chunk's latents will come from another rank.

    Args:
        path: that goes on with them, or `DECODER`.
    """

    stream: int
    chunk: int
    path: int
    source: int


class Decode(Struct):
    """A chunk's steps are done."""

    number: int
    stream: int
    chunk: int
    frames: int


class CopyRow(Struct):
    """Make the cache of a step equal to that of another one, for some blocks.

    Args:
        source, target: ranks that hold them.
    """

    stream: int
    from_step: int
    to_step: int
    first_block: int
    end_block: int
    source: int
    target: int


class TellMemory(Struct):
    """Report the memory in use."""


class StopRank(Struct):
    """The last."""


ToRank = (
    Setup
    | OpenLane
    | CloseLane
    | PromptPiece
    | BeginChunk
    | RunPart
    | ExpectLatents
    | Decode
    | CopyRow
    | TellMemory
    | StopRank
)


class RankReady(Struct):
    """The rank has loaded its weights and found the others.

    Args:
        fingerprint: of its code and weights.
    """

    rank: int
    fingerprint: str


class PassEnded(Struct):
    """A rank has ended its part of a pass.

    Args:
        sent_bytes: to other ranks.
    """

    rank: int
    number: int
    began_ns: int
    ended_ns: int
    sent_bytes: int


class RankMemory(Struct):
    """The peak of memory: a GPU's, or the process' own."""

    rank: int
    peak_bytes: int
    weights_bytes: int
    cache_bytes: int


class RankFailed(Struct):
    """The rank cannot go on."""

    rank: int
    reason: str


FromRank = RankReady | PassEnded | RankMemory | RankFailed
