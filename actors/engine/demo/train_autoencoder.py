"""Trains the demo model's autoencoder (8x reduction) on single frames of random scenes."""

import random
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from actors.engine.demo.clock import AveragedWeights, Clock, say
from actors.engine.demo.render import render, scene_tensors
from actors.engine.demo.scenes import training_scene

# Most steps use one frame size, compiled; the network is convolutional throughout, and some steps show it others.
COMPILED_SIZE = (64, 64)
OTHER_SIZES = ((96, 96), (64, 128), (128, 96), (128, 128))
OTHER_SIZES_SHARE = 0.2


@dataclass(frozen=True, kw_only=True)
class AutoencoderSettings:
    """How the autoencoder is built and trained."""

    seconds: float
    latent_channels: int = 8
    block_channels: tuple[int, int, int, int] = (32, 64, 64, 96)
    pixels_per_step: int = 256 * 64 * 64
    learning_rate: float = 2e-3
    kl_weight: float = 2e-5
    compile: bool = True
    max_steps: int | None = None
    seed: int = 0


def build_autoencoder(settings: AutoencoderSettings) -> Any:
    """A diffusers AutoencoderKL without attention, so that any frame size costs by its pixels."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        block_out_channels=settings.block_channels,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=settings.latent_channels,
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=128,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    )


def train_autoencoder(settings: AutoencoderSettings, device: torch.device) -> Any:
    """A trained AutoencoderKL with averaged weights whose scaled latents have mean 0 and deviation 1."""
    torch.manual_seed(settings.seed)
    vae = build_autoencoder(settings).to(device, memory_format=torch.channels_last)
    say(f"autoencoder: {sum(p.numel() for p in vae.parameters()) / 1e6:.2f} M parameters")
    reconstruct = torch.compile(_reconstruct, dynamic=False) if settings.compile else _reconstruct
    optimizer = torch.optim.AdamW(
        vae.parameters(), settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=device.type == "cuda"
    )
    average = AveragedWeights(list(vae.parameters()), decay=0.998)
    source = FrameSource(settings.seed, device)
    clock = Clock(settings.seconds, max_steps=settings.max_steps)
    for step in clock.steps():
        size = source.size()
        frames = source.frames(settings.pixels_per_step, size)
        noise = torch.randn(source.latent_shape(frames, settings.latent_channels), device=device)
        for group in optimizer.param_groups:
            group["lr"] = clock.learning_rate(settings.learning_rate, warmup_steps=200, hold=0.3)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            error, kl = (reconstruct if size == COMPILED_SIZE else _reconstruct)(vae, frames, noise)
        loss = error + settings.kl_weight * kl
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        average.update(step)
        if step % 500 == 0:
            say(f"autoencoder: {clock.elapsed_s:5.0f} s, step {step}, loss {loss.item():.4f}, kl {kl.item():.2f}")
    average.swap()
    vae.requires_grad_(False).eval()
    frames = source.frames(settings.pixels_per_step, COMPILED_SIZE)
    normalise_latents(vae, frames)
    say(f"autoencoder: {clock.step} steps, PSNR {reconstruction_psnr(vae, frames):.2f} dB")
    return vae


def _reconstruct(vae: Any, frames: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """L1 + MSE of decoded against true frames, and the posterior's KL for each latent number."""
    posterior = vae.encode(frames).latent_dist
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    difference = vae.decode(mean + (0.5 * logvar).exp() * noise).sample.float() - frames
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    return difference.abs().mean() + difference.square().mean(), kl


class FrameSource:
    """Random training frames: a bank of scenes drawn at random moments, so that the CPU makes each scene once."""

    def __init__(self, seed: int, device: torch.device, *, num_scenes: int = 8192) -> None:
        rng = random.Random(f"frames/{seed}")
        scenes = [training_scene(rng) for _ in range(num_scenes if device.type == "cuda" else 256)]
        self.bank = scene_tensors(scenes).to(device)
        self.rng = rng

    def size(self) -> tuple[int, int]:
        """The (height, width) of the next step."""
        return self.rng.choice(OTHER_SIZES) if self.rng.random() < OTHER_SIZES_SHARE else COMPILED_SIZE

    @staticmethod
    def latent_shape(frames: Tensor, channels: int) -> tuple[int, int, int, int]:
        """The shape of the frames' latents."""
        return (frames.shape[0], channels, frames.shape[2] // 8, frames.shape[3] // 8)

    def frames(self, num_pixels: int, size: tuple[int, int]) -> Tensor:
        """Frames [B, 3, H, W] in [-1, 1] of `size` (height, width) with `num_pixels` pixels in all."""
        height, width = size
        count = max(1, num_pixels // (height * width))
        device = self.bank.kind_BO.device
        chosen = torch.randint(0, len(self.bank.kind_BO), (count,), device=device)
        picked = type(self.bank)(
            geometry_BO6=self._moved(self.bank.geometry_BO6[chosen]),
            kind_BO=self.bank.kind_BO[chosen],
            colour_BO3=self.bank.colour_BO3[chosen],
            background_B3=self.bank.background_B3[chosen],
        )
        moments = torch.rand(count, 1, device=device)
        return render(picked, height, width, moments)[:, 0].contiguous(memory_format=torch.channels_last)

    @staticmethod
    def _moved(geometry_BO6: Tensor) -> Tensor:
        """The same objects elsewhere: a new offset for each."""
        offset = 0.2 + 0.6 * torch.rand_like(geometry_BO6[..., 3:4])
        return torch.cat([geometry_BO6[..., :3], offset, geometry_BO6[..., 4:]], -1)


@torch.no_grad()
def normalise_latents(vae: Any, frames: Tensor) -> None:
    """Folds the latents' mean into the 1x1 convolutions around them, their deviation over `frames` into the config."""
    latents = vae.encode(frames).latent_dist.mean
    mean = latents.mean((0, 2, 3))
    channels = mean.numel()
    vae.quant_conv.bias[:channels] -= mean
    vae.post_quant_conv.bias += vae.post_quant_conv.weight[:, :, 0, 0] @ mean
    deviation = (latents - mean[:, None, None]).std().item()
    vae.register_to_config(scaling_factor=1 / deviation)
    say(f"autoencoder: latent deviations {(latents.std((0, 2, 3)) / deviation).tolist()} of {deviation:.3f}")


@torch.no_grad()
def reconstruction_psnr(vae: Any, frames: Tensor) -> float:
    """PSNR in dB (peak to peak 2) of decoded against true `frames` [B, 3, H, W]."""
    decoded = vae.decode(vae.encode(frames).latent_dist.mean).sample.clamp(-1, 1)
    return 10 * torch.log10(4 / functional.mse_loss(decoded, frames)).item()
