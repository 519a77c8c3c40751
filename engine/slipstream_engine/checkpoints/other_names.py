"""Layers of the Wan models under the names of diffusers and transformers: the original's. Pure.

Sources: diffusers' script that converts Wan (`WanTransformer3DModel`, `AutoencoderKLWan`);
transformers' `UMT5EncoderModel`, whose names ComfyUI's files of the text encoder have too.
"""

import re
from collections.abc import Callable, Iterable, Mapping

_TRANSFORMER_SIGN = "condition_embedder."
_TRANSFORMER: Mapping[str, str] = {
    "condition_embedder.time_embedder.linear_1.": "time_embedding.0.",
    "condition_embedder.time_embedder.linear_2.": "time_embedding.2.",
    "condition_embedder.text_embedder.linear_1.": "text_embedding.0.",
    "condition_embedder.text_embedder.linear_2.": "text_embedding.2.",
    "condition_embedder.time_proj.": "time_projection.1.",
    "proj_out.": "head.head.",
    ".attn1.": ".self_attn.",
    ".attn2.": ".cross_attn.",
    ".to_q.": ".q.",
    ".to_k.": ".k.",
    ".to_v.": ".v.",
    ".to_out.0.": ".o.",
    ".norm2.": ".norm3.",
    ".ffn.net.0.proj.": ".ffn.0.",
    ".ffn.net.2.": ".ffn.2.",
}
_LAYER_TABLE = re.compile(r"(blocks\.\d+)\.scale_shift_table")

_VAE_SIGN = re.compile(r"(?:encoder\.down_blocks|decoder\.up_blocks)\.\d+\.")
_VAE: Mapping[str, str] = {
    "quant_conv.": "conv1.",
    "post_quant_conv.": "conv2.",
    "encoder.conv_in.": "encoder.conv1.",
    "decoder.conv_in.": "decoder.conv1.",
    ".norm_out.": ".head.0.",
    ".conv_out.": ".head.2.",
    ".conv_shortcut.": ".shortcut.",
}
_VAE_MIDDLE = {"resnets.0.": "0.", "attentions.0.": "1.", "resnets.1.": "2."}
_VAE_RESIDUAL = {"norm1.": "0.", "conv1.": "2.", "norm2.": "3.", "conv2.": "6."}
_VAE_UP = re.compile(r"decoder\.up_blocks\.(\d+)\.(resnets|upsamplers)\.(\d+)\.")
_VAE_BLOCK = re.compile(r"((?:encoder\.down_blocks|decoder\.upsamples|\w+\.middle)\.\d+\.)(.*)")

_TEXT_SIGN = ".SelfAttention."
_TEXT_LAYER = re.compile(r"encoder\.block\.(\d+)\.layer\.([01])\.(.*)")
_TEXT: Mapping[str, str] = {
    "0.layer_norm.": "norm1.",
    "0.SelfAttention.relative_attention_bias.": "pos_embedding.embedding.",
    "0.SelfAttention.": "attn.",
    "1.layer_norm.": "norm2.",
    "1.DenseReluDense.wi_0.": "ffn.gate.0.",
    "1.DenseReluDense.wi_1.": "ffn.fc1.",
    "1.DenseReluDense.wo.": "ffn.fc2.",
}
_TEXT_EMBEDDINGS = ("shared.", "encoder.embed_tokens.")  # the same numbers
_TEXT_NOT_ENCODER = ("decoder.", "lm_head.", "spiece_model")


def original_names(names: Iterable[str]) -> tuple[Mapping[str, str | None], str]:
    """The original's name of each tensor, and whose names were found; empty for none of these.

    A tensor that the original has not, such as the decoder of a text model, has None.
    """
    listed = list(names)
    if any(name.startswith(_TRANSFORMER_SIGN) for name in listed):
        return {name: _of_transformer(name) for name in listed}, "names of diffusers"
    if any(map(_VAE_SIGN.match, listed)):
        rename = _of_vae(listed)
        return {name: rename(name) for name in listed}, "names of diffusers"
    if any(_TEXT_SIGN in name for name in listed):
        embedding = next(
            (one for one in _TEXT_EMBEDDINGS if any(name.startswith(one) for name in listed)), ""
        )
        return {name: _of_text(name, embedding) for name in listed}, "names of transformers"
    return {name: name for name in listed}, ""


def _of_transformer(name: str) -> str:
    if name == "scale_shift_table":
        return "head.modulation"
    return _replaced(_LAYER_TABLE.sub(r"\1.modulation", name), _TRANSFORMER)


def _of_vae(names: Iterable[str]) -> Callable[[str], str]:
    """The original counts the blocks of its decoder in one row, and as many to a level as here."""
    residuals = [
        int(found[3]) for name in names if (found := _VAE_UP.match(name)) and found[2] == "resnets"
    ]
    residual_blocks = max(residuals, default=0) + 1

    def row(found: re.Match[str]) -> str:
        place = int(found[3]) if found[2] == "resnets" else residual_blocks
        return f"decoder.upsamples.{int(found[1]) * (residual_blocks + 1) + place}."

    def rename(name: str) -> str:
        for theirs, ours in _VAE.items():
            if name.startswith(theirs) or theirs.startswith("."):
                name = name.replace(theirs, ours)
        name = _VAE_UP.sub(row, name)
        coder, middle, rest = name.partition(".mid_block.")
        if middle:
            name = f"{coder}.middle.{_begun(rest, _VAE_MIDDLE)}"
        if (found := _VAE_BLOCK.fullmatch(name)) is not None:
            inside = _begun(found[2], _VAE_RESIDUAL)
            name = found[1] + (inside if inside == found[2] else f"residual.{inside}")
        return name.replace("encoder.down_blocks.", "encoder.downsamples.")

    return rename


def _of_text(name: str, embedding: str) -> str | None:
    if name.startswith(_TEXT_NOT_ENCODER):
        return None
    if name.startswith(_TEXT_EMBEDDINGS):
        return (
            f"token_embedding.{name.removeprefix(embedding)}"
            if name.startswith(embedding)
            else None
        )
    if name.startswith("encoder.final_layer_norm."):
        return name.replace("encoder.final_layer_norm.", "norm.")
    found = _TEXT_LAYER.fullmatch(name)
    if found is None:
        return name
    return f"blocks.{found[1]}.{_begun(f'{found[2]}.{found[3]}', _TEXT)}"


def _replaced(name: str, parts: Mapping[str, str]) -> str:
    for theirs, ours in parts.items():
        name = name.replace(theirs, ours)
    return name


def _begun(name: str, beginnings: Mapping[str, str]) -> str:
    """The name with the first of these beginnings that it has in another's place."""
    for theirs, ours in beginnings.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name
