"""A model's numbers from the config files that it is published with, by its pipeline."""

from collections.abc import Callable, Mapping
from typing import Any

from cluster.errors import ConfigError
from cluster.model import ModelNumbers
from cluster.vae import VaeNumbers

Config = dict[str, Any]
Reader = Callable[[Config, Config, Config, Config], ModelNumbers]
"""Takes model_index.json and the configs of transformer, VAE and text encoder; raises what a wrong one brings about."""
_FLOAT32 = 4
_EDGES = 4
"""Frames up to so many times the edge that a model was trained for are let through; its videos are worse there."""


def _latte(index: Config, transformer: Config, vae: Config, text: Config) -> ModelNumbers:
    decoder = VaeNumbers(
        channels=tuple(vae["block_out_channels"]),
        layers_per_block=vae["layers_per_block"],
        latent_channels=vae["latent_channels"],
        attention=vae.get("mid_block_add_attention", True),
    )
    native_edge = transformer["sample_size"] * decoder.scale
    return ModelNumbers(
        num_layers=transformer["num_layers"],
        hidden_size=transformer["num_attention_heads"] * transformer["attention_head_dim"],
        num_heads=transformer["num_attention_heads"],
        patch_size=transformer["patch_size"],
        latent_channels=transformer["in_channels"],
        vae=decoder,
        num_frames=transformer["video_length"],
        min_edge=4 * transformer["patch_size"] * decoder.scale,
        max_edge=_EDGES * native_edge,
        native_edge=native_edge,
        max_prompt_bytes=4096,
        text_width=text["d_model"],
        text_parameters=_text_parameters(text),
        text_embeddings=text["vocab_size"] * text["d_model"],
    )


def _cogvideox(index: Config, transformer: Config, vae: Config, text: Config) -> ModelNumbers:
    decoder = VaeNumbers(
        decoder="cogvideox",
        channels=tuple(vae["block_out_channels"]),
        layers_per_block=vae["layers_per_block"],
        latent_channels=vae["latent_channels"],
        attention=False,
        frame_group=2 * int(vae["temporal_compression_ratio"]),
        latent_group=2,
    )
    native_edge = max(transformer["sample_height"], transformer["sample_width"]) * decoder.scale
    return ModelNumbers(
        sites=("spatial", "mlp"),
        joint=True,
        num_layers=transformer["num_layers"],
        hidden_size=transformer["num_attention_heads"] * transformer["attention_head_dim"],
        num_heads=transformer["num_attention_heads"],
        modulation_size=transformer["time_embed_dim"],
        learns_variance=False,
        patch_size=transformer["patch_size"],
        latent_channels=transformer["in_channels"],
        text_tokens=transformer["max_text_seq_length"],
        text_joins=True,
        vae=decoder,
        num_frames=transformer["sample_frames"],
        max_frames=transformer["sample_frames"],
        min_edge=_smallest(transformer["patch_size"] * decoder.scale),
        max_edge=_EDGES * native_edge,
        native_edge=native_edge,
        max_prompt_bytes=4096,
        text_width=text["d_model"],
        text_parameters=_text_parameters(text),
        text_embeddings=text["vocab_size"] * text["d_model"],
    )


def _wan(index: Config, transformer: Config, vae: Config, text: Config) -> ModelNumbers:
    if index.get("boundary_ratio") is not None or index.get("expand_timesteps"):
        raise ConfigError("the model is a Wan 2.2, and pabcast runs 2.1")
    if transformer["patch_size"][0] != 1:
        raise ConfigError(
            f"the model has patches of {transformer['patch_size'][0]} frames, and pabcast runs those of 1"
        )
    decoder = VaeNumbers(
        decoder="wan",
        channels=tuple(vae["base_dim"] * multiple for multiple in vae["dim_mult"]),
        layers_per_block=vae["num_res_blocks"],
        latent_channels=vae["z_dim"],
        frame_group=4,
        element_bytes=_FLOAT32,
    )
    return ModelNumbers(
        sites=("spatial", "cross", "mlp"),
        joint=True,
        num_layers=transformer["num_layers"],
        hidden_size=transformer["num_attention_heads"] * transformer["attention_head_dim"],
        num_heads=transformer["num_attention_heads"],
        mlp_size=transformer["ffn_dim"],
        learns_variance=False,
        patch_size=transformer["patch_size"][1],
        latent_channels=transformer["in_channels"],
        text_tokens=512,
        vae=decoder,
        latent_bytes=_FLOAT32,
        num_frames=81,
        max_frames=81,
        min_edge=_smallest(transformer["patch_size"][1] * decoder.scale),
        max_edge=2048,
        native_edge=832,
        max_prompt_bytes=4096,
        text_width=text["d_model"],
        text_parameters=_text_parameters(text),
        text_embeddings=text["vocab_size"] * text["d_model"],
    )


def _open_sora(index: Config, transformer: Config, vae: Config, text: Config) -> ModelNumbers:
    """The published config.json of the VAE says nothing of its sizes: they are what its class has."""
    frames, rows, columns = transformer["patch_size"]
    if frames != 1 or rows != columns:
        raise ConfigError(f"the model has patches of {transformer['patch_size']}, and pabcast runs squares of 1 frame")
    decoder = VaeNumbers(
        channels=tuple(vae.get("block_out_channels", (128, 256, 512, 512))),
        layers_per_block=vae.get("layers_per_block", 2),
        latent_channels=transformer["in_channels"],
        frame_group=17,
        latent_group=5,
        frames_at_once=vae.get("micro_batch_size", 4),
    )
    return ModelNumbers(
        sites=("spatial", "cross", "mlp", "temporal", "cross", "mlp"),
        num_layers=transformer["depth"],
        hidden_size=transformer["hidden_size"],
        num_heads=transformer["num_heads"],
        mlp_ratio=int(transformer["mlp_ratio"]),
        patch_size=rows,
        latent_channels=transformer["in_channels"],
        text_tokens=transformer["model_max_length"],
        vae=decoder,
        latent_bytes=_FLOAT32,
        prediction_bytes=_FLOAT32,
        num_frames=51,
        max_frames=408,
        min_edge=144,
        max_edge=2048,
        native_edge=720,
        pads_patches=True,
        max_prompt_bytes=4096,
        text_width=text["d_model"],
        text_parameters=_text_parameters(text),
        text_embeddings=text["vocab_size"] * text["d_model"],
    )


def _open_sora_plan(index: Config, transformer: Config, vae: Config, text: Config) -> ModelNumbers:
    """Planned as if its VAE were of images, a group of all frames: its convolutions over time cost more than that."""
    latent_frames, sizes = transformer["video_length"], transformer["sample_size"]
    num_frames = 4 * latent_frames - 3
    decoder = VaeNumbers(
        channels=tuple(vae["hidden_size"] * multiple for multiple in vae["hidden_size_mult"]),
        layers_per_block=vae["num_res_blocks"],
        latent_channels=vae["embed_dim"],
        frame_group=num_frames,
        latent_group=latent_frames,
        tile_frames=17,
    )
    native_edge = (sizes if isinstance(sizes, int) else max(sizes)) * decoder.scale
    return ModelNumbers(
        num_layers=transformer["num_layers"],
        hidden_size=transformer["num_attention_heads"] * transformer["attention_head_dim"],
        num_heads=transformer["num_attention_heads"],
        patch_size=transformer["patch_size"],
        latent_channels=transformer["in_channels"],
        text_tokens=300,
        vae=decoder,
        num_frames=num_frames,
        min_edge=4 * transformer["patch_size"] * decoder.scale,
        max_edge=_EDGES * native_edge,
        native_edge=native_edge,
        max_prompt_bytes=4096,
        text_width=text["d_model"],
        text_parameters=_text_parameters(text),
        text_embeddings=text["vocab_size"] * text["d_model"],
    )


READERS: Mapping[str, Reader] = {
    "LattePipeline": _latte,
    "CogVideoXPipeline": _cogvideox,
    "OpenSoraPipeline": _open_sora,
    "OpenSoraPlanPipeline": _open_sora_plan,
    "WanPipeline": _wan,
}


def _smallest(multiple: int) -> int:
    """The smallest edge: some patches, so that there is something to see."""
    return max(multiple, 32)


def _text_parameters(text: Config) -> int:
    """Of the layers' matrices; the embeddings are looked up, not multiplied."""
    gated = 3 if text.get("is_gated_act") or str(text.get("feed_forward_proj", "")).startswith("gated") else 2
    width, attention = text["d_model"], text["num_heads"] * text["d_kv"]
    return int(text["num_layers"] * width * (4 * attention + gated * text["d_ff"]))
