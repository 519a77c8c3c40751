"""The parameters that a viewer may change while a stream runs: one flat, typed object.

It is the same from the page's JSON to the engine. Every field may be absent (`UNSET`): an update
holds only what it changes, and updates are merged key by key, where the newest value wins.
"""

import itertools
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

PROMPT_MAX_CHARS = 2000
MAX_PROMPTS = 8
MAX_STEPS = 4

Text = Annotated[str, Meta(max_length=PROMPT_MAX_CHARS)]


class Prompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One text and its weight in a mixture."""

    text: Text
    weight: Annotated[float, Meta(ge=0.0, le=10.0)] = 1.0


Prompts = Annotated[tuple[Prompt, ...], Meta(min_length=1, max_length=MAX_PROMPTS)]
TimestepList = Annotated[
    tuple[Annotated[int, Meta(ge=1, le=1000)], ...], Meta(min_length=1, max_length=MAX_STEPS)
]


class Transition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A blend from the present prompts to `target_prompts`, over `num_steps` chunks."""

    target_prompts: Prompts
    num_steps: Annotated[int, Meta(ge=0, le=1000)] = 4
    temporal_interpolation_method: Literal["linear", "slerp"] = "linear"


class Parameters(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A parameter update.

    Args:
        prompts: texts with weights, blended; `prompt` is the short form for one text.
        transition: blends to new prompts; without it prompts change between two chunks.
        denoising_step_list: timesteps of the denoising steps, strictly falling, 1 to 4 of them.
        noise_scale: share of noise in a chunk's input, 0 to 1; more allows larger changes to the
            camera's picture.
        noise_controller: whether motion lowers the noise (`spec/03` section 7).
        seed: of the stream's noise; takes effect with the next chunk.
        reset_cache: empty the KV cache once, before the next chunk.
        paused: generate no chunks while true.
        rev: the viewer's number for this update, echoed in `ack` and `applied`.

    Raises:
        ValueError: if two fields contradict each other, or the step list does not fall.
    """

    prompts: Prompts | UnsetType = UNSET
    prompt: Text | UnsetType = UNSET
    transition: Transition | UnsetType = UNSET
    denoising_step_list: TimestepList | UnsetType = UNSET
    noise_scale: Annotated[float, Meta(ge=0.0, le=1.0)] | UnsetType = UNSET
    noise_controller: bool | UnsetType = UNSET
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] | UnsetType = UNSET
    reset_cache: bool | UnsetType = UNSET
    paused: bool | UnsetType = UNSET
    rev: Annotated[int, Meta(ge=0, le=2**53)] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.prompt is not UNSET and self.prompts is not UNSET:
            raise ValueError("prompt and prompts are both given, send one of them")
        if self.transition is not UNSET and (self.prompt is not UNSET or self.prompts is not UNSET):
            raise ValueError("transition and prompts are both given, the transition names its own")
        steps = self.denoising_step_list
        if steps is not UNSET and any(b >= a for a, b in itertools.pairwise(steps)):
            raise ValueError(f"denoising_step_list is {list(steps)}, it must fall at every step")

    @property
    def target(self) -> Prompts | UnsetType:
        """The prompts that this update leads to, as a list with weights."""
        if self.transition is not UNSET:
            return self.transition.target_prompts
        if self.prompt is not UNSET:
            return (Prompt(self.prompt),)
        return self.prompts

    def without_prompts(self) -> "Parameters":
        """All but the keys that `target` reads."""
        return msgspec.structs.replace(self, prompts=UNSET, prompt=UNSET, transition=UNSET)

    def only_prompts(self) -> "Parameters":
        """The keys that `target` reads, and nothing else."""
        return Parameters(prompts=self.prompts, prompt=self.prompt, transition=self.transition)

    def merged(self, newer: "Parameters") -> "Parameters":
        """This update with the values of `newer` over it.

        `prompts`, `prompt` and `transition` count as one key.
        """
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        changes = {
            name: value
            for name in newer.__struct_fields__
            if (value := getattr(newer, name)) is not UNSET
        }
        if newer.target is not UNSET:
            fields |= {"prompts": UNSET, "prompt": UNSET, "transition": UNSET}
        return Parameters(**(fields | changes))
