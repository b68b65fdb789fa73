"""The numbers of Open-Sora 1.2 (STDiT3-XL/2), the paper's first model."""

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
    vae=VaeNumbers(channels=(128, 256, 512, 512), frame_group=17, latent_group=5),
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
