"""checkpoints/naming.py: the tensors of a model, whoever named them."""

import pytest
from slipstream_engine.checkpoints.naming import name_tensors

from tests.engine.keylists import real_shapes

MODELS = ("wan_t2v_1.3b_dit", "wan2.1_vae", "taehv_taew2_1", "umt5_xxl_encoder")
# a row of diffusers' conversion script each: the original name, then theirs
DIFFUSERS = (
    ("time_embedding.0", "condition_embedder.time_embedder.linear_1"),
    ("time_embedding.2", "condition_embedder.time_embedder.linear_2"),
    ("text_embedding.0", "condition_embedder.text_embedder.linear_1"),
    ("text_embedding.2", "condition_embedder.text_embedder.linear_2"),
    ("time_projection.1", "condition_embedder.time_proj"),
    ("head.modulation", "scale_shift_table"),
    ("head.head", "proj_out"),
    ("modulation", "scale_shift_table"),
    ("ffn.0", "ffn.net.0.proj"),
    ("ffn.2", "ffn.net.2"),
    ("norm3", "norm2"),
    *((f"self_attn.{x}", f"attn1.to_{x}") for x in "qkv"),
    *((f"cross_attn.{x}", f"attn2.to_{x}") for x in "qkv"),
    ("self_attn.o", "attn1.to_out.0"),
    ("cross_attn.o", "attn2.to_out.0"),
    ("self_attn.norm", "attn1.norm"),
    ("cross_attn.norm", "attn2.norm"),
)


def to_diffusers(name: str) -> str:
    for ours, theirs in DIFFUSERS:
        name = name.replace(ours, theirs)
    return name


@pytest.mark.parametrize("model", MODELS)
def test_published_names_stay(model: str) -> None:
    """No published file of ours is renamed, nor does it say anything of its form."""
    keys = list(real_shapes(model))
    naming = name_tensors(keys)
    assert naming.names == {key: key for key in keys}
    assert naming.form == ()


@pytest.mark.parametrize("prefix", ["", "transformer.", "module."])
def test_names_of_diffusers(prefix: str) -> None:
    """Every tensor of the transformer under diffusers' names gets its own again."""
    keys = list(real_shapes("wan_t2v_1.3b_dit"))
    theirs = {prefix + to_diffusers(key): key for key in keys}
    assert len(theirs) == len(keys)
    assert f"{prefix}blocks.0.norm2.weight" in theirs
    naming = name_tensors(theirs)
    assert naming.names == theirs
    assert "names of diffusers" in naming.form
