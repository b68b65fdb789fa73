"""The numbers of Open-Sora 1.2 (STDiT3-XL/2), the paper's first model, and of two with joint 3-D attention."""

from cluster.model import ModelNumbers
from cluster.sampler import SamplerNumbers
from cluster.shape import Shape
from cluster.vae import VaeNumbers

OPEN_SORA = ModelNumbers(
    sites=("spatial", "cross", "mlp", "temporal", "cross", "mlp"),
    num_layers=28,
    hidden_size=1152,
    num_heads=16,
    patch_size=2,
    latent_channels=4,
    text_tokens=300,
    vae=VaeNumbers(channels=(128, 256, 512, 512), frame_group=17, latent_group=5, frames_at_once=4),
    latent_bytes=4,
    prediction_bytes=4,
    num_frames=51,
    max_frames=408,
    min_edge=144,
    max_edge=8192,
    native_edge=720,
    pads_patches=True,
    max_prompt_bytes=4096,
)
OPEN_SORA_SAMPLER = SamplerNumbers(kind="open_sora_flow")
SHAPE_480P = Shape(height=480, width=848, num_frames=51)
"""15 latent frames of 30 x 53 patches."""

COGVIDEOX_5B = ModelNumbers(
    sites=("spatial", "mlp"),
    joint=True,
    num_layers=42,
    hidden_size=3072,
    num_heads=48,
    modulation_size=512,
    learns_variance=False,
    patch_size=2,
    latent_channels=16,
    text_tokens=226,
    text_joins=True,
    vae=VaeNumbers(
        decoder="cogvideox",
        channels=(128, 256, 256, 512),
        layers_per_block=3,
        latent_channels=16,
        frame_group=8,
        latent_group=2,
    ),
    num_frames=49,
    max_frames=49,
    min_edge=64,
    max_edge=2048,
    native_edge=720,
    max_prompt_bytes=4096,
)
WAN_1_3B = ModelNumbers(
    sites=("spatial", "cross", "mlp"),
    joint=True,
    num_layers=30,
    hidden_size=1536,
    num_heads=12,
    mlp_size=8960,
    learns_variance=False,
    patch_size=2,
    latent_channels=16,
    text_tokens=512,
    vae=VaeNumbers(decoder="wan", channels=(96, 192, 384, 384), latent_channels=16, frame_group=4, element_bytes=4),
    latent_bytes=4,
    num_frames=81,
    max_frames=81,
    min_edge=64,
    max_edge=2048,
    native_edge=832,
    max_prompt_bytes=4096,
)
COGVIDEOX_SHAPE = Shape(height=480, width=720, num_frames=49)
"""13 latent frames of 30 x 45 patches: 17,550 tokens, and 226 of text."""
WAN_SHAPE = Shape(height=480, width=832, num_frames=81)
"""21 latent frames of 30 x 52 patches: 32,760 tokens."""
