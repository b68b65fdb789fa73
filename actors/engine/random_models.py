"""Transformers of any family and size with random weights, each with its sampler: as fast as the trained ones.

No text encoder and no VAE: text features and noise are drawn.

Shapes: L text tokens, K width of the text features, C latent channels, T latent frames, h and w latent height and
width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import diffusers
import torch

from actors.engine.blocks import Blocks
from actors.engine.families.cogvideox import CogVideoX
from actors.engine.families.family import Denoiser, Family
from actors.engine.families.latte import Latte
from actors.engine.families.open_sora import OpenSora
from actors.engine.families.open_sora_plan import OpenSoraPlan
from actors.engine.families.wan import Wan
from actors.engine.models.cogvideox import CogVideoXDenoiser
from actors.engine.models.latte import LatteDenoiser
from actors.engine.models.open_sora import OpenSoraDenoiser, OpenSoraFlowScheduler, OpenSoraTransformer3DModel
from actors.engine.models.open_sora_plan import OpenSoraPlanTransformer3DModel
from actors.engine.models.wan import WanDenoiser
from actors.engine.random_latte import latte_scheduler, latte_transformer
from cluster.errors import ConfigError
from cluster.model import ModelNumbers
from cluster.sampler import SamplerNumbers
from cluster.shape import Shape

_FPS = 24
"""Frames a second that Open-Sora is told; what it is told takes no time."""
_FIXED_POSITIONS = 1920
"""Width of CogVideoX-2B, the one CogVideoX with fixed positions; the wider ones have rotary ones."""


@dataclass(frozen=True, kw_only=True)
class RandomModel:
    """A transformer on a device, and what else the denoising loop of one shape needs."""

    family: str
    """Its adapter's name, as in configs/models."""
    numbers: ModelNumbers
    shape: Shape
    transformer: Any
    dtype: torch.dtype
    """The transformer's precision, but for what diffusers keeps in float32."""
    scheduler: Any

    @property
    def device(self) -> torch.device:
        """Where it is."""
        device: torch.device = self.transformer.device
        return device

    @property
    def predicts_float32(self) -> bool:
        """As `Family.predicts_float32`."""
        return _FAMILIES[self.family].predicts_float32

    def denoiser(self, blocks: Blocks | None = None) -> Denoiser:
        """What drives it, its blocks run by `blocks`."""
        if self.family == "open-sora":
            size = {"height": self.shape.height, "width": self.shape.width}
            return OpenSoraDenoiser(self.transformer, **size, fps=_FPS, blocks=blocks)
        drivers: dict[str, Callable[..., Denoiser]] = {"cogvideox": CogVideoXDenoiser, "wan": WanDenoiser}
        return drivers.get(self.family, LatteDenoiser)(self.transformer, blocks)

    def noise(self) -> torch.Tensor:
        """Where every run starts, (1, C, T, h, w); in float32 where the model keeps its latents so."""
        dtype = torch.float32 if self.numbers.latent_bytes == torch.float32.itemsize else self.dtype
        return self._draw((1, *self.numbers.latent_size(self.shape)), 0).to(dtype) * self.scheduler.init_noise_sigma

    def texts(self, branches: int) -> list[torch.Tensor]:
        """Features (1, L, K) of so many texts, the negative one first, of as many tokens as the model takes."""
        size = (1, self.numbers.text_tokens, self.numbers.text_width)
        return [self._draw(size, 1 + branch).to(self.dtype) for branch in range(branches)]

    def _draw(self, size: tuple[int, ...], seed: int) -> torch.Tensor:
        return torch.randn(size, generator=torch.Generator("cpu").manual_seed(seed)).to(self.device)


def random_model(
    family: str, numbers: ModelNumbers, shape: Shape, scheduler: Any, *, device: str, dtype: torch.dtype
) -> RandomModel:
    """A model of `family` with the sizes in `numbers`, for videos of `shape`, in `dtype` on `device`.

    Raises:
        ConfigError: a family of another name.
    """
    if family not in _BUILDERS:
        raise ConfigError(f"there is no family {family!r}; {', '.join(_BUILDERS)} are there")
    torch.manual_seed(0)
    with torch.device(device):
        transformer = _cast(_BUILDERS[family](numbers, shape), dtype)
    return RandomModel(
        family=family, numbers=numbers, shape=shape, transformer=transformer, dtype=dtype, scheduler=scheduler
    )


def sampler_of(numbers: SamplerNumbers) -> Any:
    """The scheduler that places its steps as `numbers` say."""
    if numbers.kind == "ddim_leading":
        return latte_scheduler()
    if numbers.kind == "ddim_trailing":
        return diffusers.CogVideoXDDIMScheduler(
            clip_sample=False,
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            snr_shift_scale=3.0,
            timestep_spacing="trailing",
        )
    if numbers.kind == "pndm":
        return diffusers.PNDMScheduler()
    if numbers.kind == "unipc_flow":
        return diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=numbers.flow_shift
        )
    return OpenSoraFlowScheduler()


def _cast(transformer: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    """Parameters in `dtype`, but those that diffusers keeps in float32 when it loads a model; buffers as they are."""
    kept = set(getattr(transformer, "_keep_in_fp32_modules", None) or ())
    for name, weight in transformer.named_parameters():
        if not kept & set(name.split(".")):
            weight.data = weight.data.to(dtype)
    return transformer.eval().requires_grad_(False)


def _cogvideox(numbers: ModelNumbers, shape: Shape) -> torch.nn.Module:
    """Trained for `shape`: then its fixed positions are made once, as for the size that it was published for."""
    model: torch.nn.Module = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=numbers.num_heads,
        attention_head_dim=numbers.hidden_size // numbers.num_heads,
        in_channels=numbers.latent_channels,
        out_channels=numbers.latent_channels,
        time_embed_dim=numbers.modulation_size,
        text_embed_dim=numbers.text_width,
        num_layers=numbers.num_layers,
        sample_height=shape.height // numbers.vae_scale,
        sample_width=shape.width // numbers.vae_scale,
        sample_frames=shape.num_frames,
        patch_size=numbers.patch_size,
        max_text_seq_length=numbers.text_tokens,
        use_rotary_positional_embeddings=numbers.hidden_size > _FIXED_POSITIONS,
    )
    return model


def _latte(numbers: ModelNumbers, shape: Shape) -> torch.nn.Module:
    model: torch.nn.Module = latte_transformer(numbers)
    return model


def _open_sora(numbers: ModelNumbers, shape: Shape) -> torch.nn.Module:
    return OpenSoraTransformer3DModel(
        in_channels=numbers.latent_channels,
        patch_size=(1, numbers.patch_size, numbers.patch_size),
        hidden_size=numbers.hidden_size,
        depth=numbers.num_layers,
        num_heads=numbers.num_heads,
        mlp_ratio=numbers.mlp_ratio,
        caption_channels=numbers.text_width,
        model_max_length=numbers.text_tokens,
    )


def _open_sora_plan(numbers: ModelNumbers, shape: Shape) -> torch.nn.Module:
    return OpenSoraPlanTransformer3DModel(
        num_attention_heads=numbers.num_heads,
        attention_head_dim=numbers.hidden_size // numbers.num_heads,
        in_channels=numbers.latent_channels,
        out_channels=2 * numbers.latent_channels,
        num_layers=numbers.num_layers,
        cross_attention_dim=numbers.hidden_size,
        caption_channels=numbers.text_width,
        sample_size=numbers.native_edge // numbers.vae_scale,
        patch_size=numbers.patch_size,
        video_length=numbers.latent_frames(shape),
    )


def _wan(numbers: ModelNumbers, shape: Shape) -> torch.nn.Module:
    model: torch.nn.Module = diffusers.WanTransformer3DModel(
        patch_size=(1, numbers.patch_size, numbers.patch_size),
        num_attention_heads=numbers.num_heads,
        attention_head_dim=numbers.hidden_size // numbers.num_heads,
        in_channels=numbers.latent_channels,
        out_channels=numbers.latent_channels,
        text_dim=numbers.text_width,
        ffn_dim=numbers.mlp_width,
        num_layers=numbers.num_layers,
    )
    return model


_BUILDERS: dict[str, Callable[[ModelNumbers, Shape], torch.nn.Module]] = {
    "cogvideox": _cogvideox,
    "latte": _latte,
    "open-sora": _open_sora,
    "open-sora-plan": _open_sora_plan,
    "wan": _wan,
}
_FAMILIES: dict[str, type[Family]] = {
    "cogvideox": CogVideoX,
    "latte": Latte,
    "open-sora": OpenSora,
    "open-sora-plan": OpenSoraPlan,
    "wan": Wan,
}
