"""What the leader of a group tells its ranks, and what they report.

Every rank gets its orders in the order in which the leader gave them out, and carries them out in
that order, as far as `order_queue.py` says; whatever one rank sends another in one flow, both have
been told of in the same order.
"""

import msgspec

from slipstream_engine.config import EngineConfig
from slipstream_engine.diffusion.state import StreamSettings
from slipstream_engine.kv_cache.positions import CachePosition
from slipstream_engine.parallel.plan import PipelinePlan

DECODER = -1  # in place of a path's number: the decoder


class Setup(msgspec.Struct, frozen=True, kw_only=True, tag=True):
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


class OpenLane(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A stream begins."""

    stream: int


class CloseLane(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """It ends; chunks of it that are under way are dropped."""

    stream: int


class PromptPiece(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A part of an embedding, float32 rows one after the other; `BeginChunk` comes after the last.

    Rows of zeros at its end are left out.
    """

    stream: int
    data: bytes


class BeginChunk(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A chunk begins: it is encoded where the plan says; see `ChunkOrder`.

    Args:
        number: of the pass.
        epoch: of the plan that the chunk runs under.
        frames: of the camera.
        has_prompt: pieces of an embedding have come before.
    """

    number: int
    epoch: int
    stream: int
    chunk: int
    frames: int
    is_first: bool
    resets_cache: bool
    position: CachePosition
    settings: StreamSettings
    has_prompt: bool


class RunPart(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Run your part of a step of a chunk.

    Args:
        epoch: of the plan that the chunk runs under.
        step: number of the step.
        frames: latent frames of the chunk.
        path: number of the path, see `Paths`.
        place: of the rank on it.
    """

    number: int
    epoch: int
    stream: int
    chunk: int
    step: int
    frames: int
    path: int
    place: int


class ExpectLatents(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A chunk's latents will come from another rank.

    Args:
        frames: latent frames of the chunk.
        path: that goes on with them, or `DECODER`.
    """

    stream: int
    chunk: int
    frames: int
    path: int
    source: int


class Decode(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A chunk's steps are done: the decoder decodes it, all other ranks forget it.

    Args:
        frames: of the camera.
    """

    number: int
    stream: int
    chunk: int
    frames: int


class CopyRow(msgspec.Struct, frozen=True, kw_only=True, tag=True):
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


class TakePlan(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Blocks move: chunks of this epoch run under this plan.

    A rank that gets blocks gets their weights now, from the ranks that have them; it keeps those
    that go until `DropPlan`.
    """

    epoch: int
    plan: PipelinePlan


class DropPlan(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Nothing runs under the plan of this epoch any more: give up what only that needs."""

    epoch: int


class TellMemory(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Report the memory in use."""


class StopRank(msgspec.Struct, frozen=True, kw_only=True, tag=True):
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
    | TakePlan
    | DropPlan
    | TellMemory
    | StopRank
)


class RankReady(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The rank has loaded its weights and found the others.

    Args:
        fingerprint: of its code and weights.
        free_bytes: of its device's memory; None where that is not looked at.
    """

    rank: int
    fingerprint: str
    free_bytes: int | None


class PassEnded(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A rank has ended its part of a pass.

    Args:
        path, place: of a part of a step; 0 elsewhere.
        sent_bytes: to other ranks.
    """

    rank: int
    number: int
    path: int
    place: int
    began_ns: int
    ended_ns: int
    sent_bytes: int


class RankMemory(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The peak of memory: a GPU's, or the process' own."""

    rank: int
    peak_bytes: int
    weights_bytes: int
    cache_bytes: int


class RankFailed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The rank cannot go on."""

    rank: int
    reason: str


FromRank = RankReady | PassEnded | RankMemory | RankFailed
