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


VAE_PARTS = {
    "residual.0.": "norm1.",
    "residual.2.": "conv1.",
    "residual.3.": "norm2.",
    "residual.6.": "conv2.",
    "shortcut.": "conv_shortcut.",
    "head.0.": "norm_out.",
    "head.2.": "conv_out.",
    "middle.0.": "mid_block.resnets.0.",
    "middle.1.": "mid_block.attentions.0.",
    "middle.2.": "mid_block.resnets.1.",
    "encoder.downsamples.": "encoder.down_blocks.",
    "encoder.conv1.": "encoder.conv_in.",
    "decoder.conv1.": "decoder.conv_in.",
}


def vae_to_diffusers(name: str) -> str:
    """As diffusers' script numbers the decoder's blocks: 0, 1, 2 and the upsampling 3, and on."""
    if name.startswith("conv"):
        return name.replace("conv1.", "quant_conv.").replace("conv2.", "post_quant_conv.")
    for ours, theirs in VAE_PARTS.items():
        name = name.replace(ours, theirs)
    if not name.startswith("decoder.upsamples."):
        return name
    row, _, rest = name.removeprefix("decoder.upsamples.").partition(".")
    level, place = divmod(int(row), 4)
    part = "upsamplers.0" if place == 3 else f"resnets.{place}"
    return f"decoder.up_blocks.{level}.{part}.{rest}"


TEXT_PARTS = {
    "norm1.": "layer.0.layer_norm.",
    "pos_embedding.embedding.": "layer.0.SelfAttention.relative_attention_bias.",
    "attn.": "layer.0.SelfAttention.",
    "norm2.": "layer.1.layer_norm.",
    "ffn.gate.0.": "layer.1.DenseReluDense.wi_0.",
    "ffn.fc1.": "layer.1.DenseReluDense.wi_1.",
    "ffn.fc2.": "layer.1.DenseReluDense.wo.",
}


def text_to_transformers(name: str) -> str:
    if not name.startswith("blocks."):
        return {
            "token_embedding.weight": "shared.weight",
            "norm.weight": "encoder.final_layer_norm.weight",
        }[name]
    for ours, theirs in TEXT_PARTS.items():
        name = name.replace(ours, theirs)
    return name.replace("blocks.", "encoder.block.")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_names_of_diffusers_vae(prefix: str) -> None:
    """Every tensor of the codec under the names of `AutoencoderKLWan` gets its own again."""
    theirs = {prefix + vae_to_diffusers(key): key for key in real_shapes("wan2.1_vae")}
    assert {f"{prefix}{name}" for name in VAE_SAMPLE} < set(theirs)
    naming = name_tensors(theirs)
    assert naming.names == theirs
    assert "names of diffusers" in naming.form


VAE_SAMPLE = (
    "quant_conv.weight",
    "post_quant_conv.bias",
    "encoder.conv_in.weight",
    "encoder.down_blocks.2.resample.1.weight",
    "encoder.down_blocks.3.conv_shortcut.weight",
    "encoder.down_blocks.5.time_conv.weight",
    "encoder.mid_block.attentions.0.to_qkv.weight",
    "encoder.mid_block.resnets.1.norm1.gamma",
    "decoder.up_blocks.1.resnets.0.conv_shortcut.weight",
    "decoder.up_blocks.1.upsamplers.0.time_conv.weight",
    "decoder.up_blocks.3.resnets.2.conv2.bias",
    "decoder.norm_out.gamma",
    "decoder.conv_out.weight",
)


def test_names_of_transformers() -> None:
    """Every tensor of the text encoder under the names of `UMT5EncoderModel` gets its own again;
    the embedding that stands there twice is read once, and what is no encoder is passed over."""
    theirs = {text_to_transformers(key): key for key in real_shapes("umt5_xxl_encoder")}
    more = ("encoder.embed_tokens.weight", "decoder.block.0.layer.0.SelfAttention.q.weight")
    naming = name_tensors([*more, *theirs, "lm_head.weight", "spiece_model"])
    assert naming.names == theirs
    assert "names of transformers" in naming.form
    alone = [name.replace("shared.", "encoder.embed_tokens.") for name in theirs]
    assert set(name_tensors(alone).names.values()) == set(theirs.values())
