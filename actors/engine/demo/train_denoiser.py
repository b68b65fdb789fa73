"""Trains the demo model's Latte denoiser over the frozen autoencoder and text encoder.

Shapes: B videos, T frames, C latent channels, h and w latent pixels, N tokens, E width of the text encoder.
"""

import copy
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from actors.engine.demo.clock import AveragedWeights, Clock, say
from actors.engine.demo.render import render
from actors.engine.demo.stream import Batch, tokenize
from actors.engine.demo.text import token_mask
from actors.engine.demo.vocabulary import NUM_FRAMES

DROPPED_TOKEN_BIAS = -10000.0
NUM_TIMESTEPS = 1000


@dataclass(frozen=True, kw_only=True)
class DenoiserSettings:
    """How the denoiser is built and trained."""

    seconds: float
    latent_channels: int = 8
    text_width: int = 192
    patch_size: int = 2
    num_heads: int = 4
    head_width: int = 64
    num_layers: int = 4
    learning_rate: float = 1e-3
    uncaptioned_share: float = 0.12
    zero_padding_share: float = 0.1
    """Share of the videos fed as LattePipeline feeds a batch of prompts: padding zeroed instead of cut off."""
    steps_per_batch: int = 4
    """Training steps for each batch of rendered and encoded videos."""
    batches_kept: int = 12
    compile: bool = True
    max_steps: int | None = None
    seed: int = 0


def build_denoiser(settings: DenoiserSettings) -> Any:
    """A diffusers LatteTransformer3DModel that starts as the identity of its blocks and predicts zero."""
    from diffusers import LatteTransformer3DModel

    width = settings.num_heads * settings.head_width
    denoiser = LatteTransformer3DModel(
        num_attention_heads=settings.num_heads,
        attention_head_dim=settings.head_width,
        in_channels=settings.latent_channels,
        out_channels=2 * settings.latent_channels,
        num_layers=settings.num_layers,
        cross_attention_dim=width,
        caption_channels=settings.text_width,
        attention_bias=True,
        sample_size=16,
        patch_size=settings.patch_size,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=NUM_TIMESTEPS,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
        video_length=NUM_FRAMES,
    )
    with torch.no_grad():
        for block in [*denoiser.transformer_blocks, *denoiser.temporal_transformer_blocks]:
            block.scale_shift_table[2].zero_()  # the gate of attention
            block.scale_shift_table[5].zero_()  # the gate of the MLP
            if block.attn2 is not None:
                block.attn2.to_out[0].weight.zero_()
        denoiser.adaln_single.linear.weight.zero_()
        denoiser.proj_out.weight.zero_()
        denoiser.proj_out.bias.zero_()
    return denoiser


def build_scheduler() -> Any:
    """DDIM with v-prediction from pure noise: zero terminal SNR, trailing timesteps, nothing clipped."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=NUM_TIMESTEPS,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
    )


class SharedTextAttention:
    """Cross-attention for training: keys and values once a video, where the stock processor repeats them per frame."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor,
    ) -> Tensor:
        """The output for queries [B * T, S, D], text [B * T, N, D] and score bias [B * T, 1, N]."""
        text_BND, bias_B11N = encoder_hidden_states[::NUM_FRAMES], attention_mask[::NUM_FRAMES, None]
        batch, heads = text_BND.shape[0], attn.heads
        query, key, value = (
            projected.reshape(batch, -1, heads, projected.shape[-1] // heads).transpose(1, 2)
            for projected in (attn.to_q(hidden_states), attn.to_k(text_BND), attn.to_v(text_BND))
        )
        output = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias_B11N)
        result: Tensor = attn.to_out[0](output.transpose(1, 2).reshape(hidden_states.shape))
        return result


@dataclass(frozen=True, kw_only=True)
class Example:
    """Encoded training videos of one frame size."""

    latents: Tensor
    """[B, C, T, h, w], deviation 1."""
    states_BNE: Tensor
    own_BN: Tensor
    """True for the caption's own tokens."""


class ExampleSource:
    """Encoded training videos; each batch is drawn and encoded once and used for a few steps, in random order."""

    def __init__(
        self, data: Iterator[Batch], vae: Any, text_encoder: Any, settings: DenoiserSettings, device: torch.device
    ) -> None:
        # Half precision throughout: autocast would run every group norm in float32.
        self.dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        self.vae = copy.deepcopy(vae).to(self.dtype)
        self.scaling_factor = float(vae.config.scaling_factor)
        self.text_encoder = text_encoder
        self.data, self.device = data, device
        self.steps_per_batch = settings.steps_per_batch
        self.kept: deque[Example] = deque(maxlen=settings.batches_kept)
        self.rng = random.Random(f"examples/{settings.seed}")

    def draw(self, step: int) -> Example:
        """The examples of one step."""
        if step % self.steps_per_batch == 0:
            self.kept.append(self._encode(next(self.data).to(self.device)))
            return self.kept[-1]
        return self.rng.choice(self.kept)

    @torch.no_grad()
    def _encode(self, batch: Batch) -> Example:
        frames = render(batch.scenes, batch.height, batch.width).flatten(0, 1).to(self.dtype)
        chunk = max(1, 2**22 // (batch.height * batch.width))
        latents = [
            self.vae.encode(part.contiguous(memory_format=torch.channels_last)).latent_dist.mean
            for part in frames.split(chunk)
        ]
        scaled = torch.cat(latents).float() * self.scaling_factor
        own_BN = token_mask(batch.lengths_B, batch.token_ids_BN.shape[1])
        return Example(
            latents=scaled.unflatten(0, (-1, NUM_FRAMES)).transpose(1, 2).contiguous(),
            states_BNE=self.text_encoder(batch.token_ids_BN, attention_mask=own_BN.long()).last_hidden_state,
            own_BN=own_BN,
        )


@dataclass(frozen=True, kw_only=True)
class TextInput:
    """What the denoiser is given of the captions."""

    states_BNE: Tensor
    bias: Tensor
    """Added to the cross-attention scores: [B * T, 1, N]."""


@torch.no_grad()
def empty_states(text_encoder: Any, num_tokens: int, device: torch.device) -> Tensor:
    """The states of the empty caption, padding included: [N, E]."""
    ids, lengths = tokenize([""])
    mask = token_mask(lengths, ids.shape[1])
    states: Tensor = text_encoder(ids.to(device), attention_mask=mask.long().to(device)).last_hidden_state
    return states[0, :num_tokens]


class DenoiserTrainer:
    """One training run: the denoiser, its optimizer and its averaged weights."""

    def __init__(self, settings: DenoiserSettings, denoiser: Any, empty_NE: Tensor) -> None:
        self.settings, self.denoiser, self.empty_NE = settings, denoiser, empty_NE
        self.device = empty_NE.device
        self.parameters = list(denoiser.parameters())
        self.average = AveragedWeights(self.parameters, decay=0.9995)
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            settings.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=0.01,
            fused=self.device.type == "cuda",
        )
        self.alphas = build_scheduler().alphas_cumprod.to(self.device)
        for block in denoiser.transformer_blocks:
            block.attn2.set_processor(SharedTextAttention())
        if settings.compile:
            torch._dynamo.config.recompile_limit = 64
            for block in [*denoiser.transformer_blocks, *denoiser.temporal_transformer_blocks]:
                block.compile(dynamic=False)

    def text(self, example: Example) -> TextInput:
        """Text for one step as inference feeds it.

        A video without a caption gets the states of the empty text, as many tokens as its caption has.
        """
        size = len(example.own_BN)
        chance_B = torch.rand(2, size, 1, device=self.device)
        uncaptioned_B1 = chance_B[0] < self.settings.uncaptioned_share
        zeroed_B1 = chance_B[1] < self.settings.zero_padding_share
        captioned = example.states_BNE * (example.own_BN | ~zeroed_B1)[..., None]
        visible_BN = example.own_BN | zeroed_B1
        bias_BN = torch.zeros(visible_BN.shape, device=self.device).masked_fill(~visible_BN, DROPPED_TOKEN_BIAS)
        return TextInput(
            states_BNE=torch.where(uncaptioned_B1[..., None], self.empty_NE, captioned),
            bias=bias_BN[:, None].repeat_interleave(NUM_FRAMES, 0),
        )

    def loss(self, example: Example) -> Tensor:
        """Mean square error of v."""
        latents = example.latents
        timesteps = torch.randint(0, NUM_TIMESTEPS, (len(latents),), device=self.device)
        alpha = self.alphas[timesteps][:, None, None, None, None]
        noise = torch.randn_like(latents)
        noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
        wanted = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            predicted = predict(self.denoiser, noisy, timesteps, self.text(example))
        return functional.mse_loss(predicted.float(), wanted)

    def step(self, example: Example, learning_rate: float, number: int) -> Tensor:
        """One optimizer step; the loss, detached."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        loss = self.loss(example)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.average.update(number)
        return loss.detach()


def predict(denoiser: Any, noisy: Tensor, timesteps: Tensor, text: TextInput) -> Tensor:
    """The denoiser's v: [B, C, T, h, w]. The channels of the variance, which DDIM does not use, are left out.

    A 3-D mask passes LatteTransformer3DModel unchanged; a 2-D one is not repeated for the frames and fails.
    """
    output: Tensor = denoiser(
        noisy,
        timestep=timesteps,
        encoder_hidden_states=text.states_BNE,
        encoder_attention_mask=text.bias.to(torch.bfloat16 if noisy.is_cuda else noisy.dtype),
        return_dict=False,
    )[0]
    return output[:, : noisy.shape[1]]


def train_denoiser(
    trainer: DenoiserTrainer, source: ExampleSource, *, checkpoint: Callable[[float], None], checkpoints: int
) -> None:
    """Trains in place; calls `checkpoint(progress)` with the averaged weights in place `checkpoints` times evenly."""
    settings = trainer.settings
    torch.manual_seed(settings.seed)
    clock = Clock(settings.seconds, max_steps=settings.max_steps)
    marks = deque((index + 1) / (checkpoints + 1) for index in range(checkpoints))
    videos = 0
    for step in clock.steps():
        example = source.draw(step)
        rate = clock.learning_rate(settings.learning_rate, warmup_steps=400, hold=0.25)
        loss = trainer.step(example, rate, step)
        videos += len(example.latents)
        if step % 250 == 0:
            say(f"denoiser: {clock.elapsed_s:5.0f} s, step {step}, {videos} videos, loss {loss.item():.4f}")
        if marks and clock.progress >= marks[0]:
            marks.popleft()
            trainer.average.swap()
            checkpoint(clock.progress)
            trainer.average.swap()
    trainer.average.swap()
    say(f"denoiser: {clock.step} steps, {videos} videos in {clock.elapsed_s:.0f} s")
