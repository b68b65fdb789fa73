"""What a video costs in operations and bytes, on each rank of a gang, from the schedule alone.

Operations are counted as 2 a multiplication and addition, matrix products and attention only, as
torch.utils.flop_counter counts them.
"""

from dataclasses import dataclass
from typing import Literal

from cluster.forecast import Forecast, forecast
from cluster.model import ModelNumbers
from cluster.pab import Kind
from cluster.schedule import BroadcastSchedule
from cluster.shape import Shape

TIME_CHANNELS = 256
"""Sinusoids that the time embedding reads (diffusers' `AdaLayerNormSingle`)."""
DECODED_AT_ONCE = 8
"""Frames that the engine's decoder takes in one call."""


@dataclass(frozen=True, kw_only=True)
class SiteWork:
    """One site of one layer on one rank at one step."""

    projections: int
    """Operations of its matrix products with weights."""
    core: int = 0
    """Operations of softmax(QK)V; none in an MLP."""
    elements: int = 0
    """Elements of its output, the measure of what it moves through memory."""

    def __add__(self, other: "SiteWork") -> "SiteWork":
        return SiteWork(
            projections=self.projections + other.projections,
            core=self.core + other.core,
            elements=self.elements + other.elements,
        )

    def __mul__(self, times: int) -> "SiteWork":
        return SiteWork(projections=self.projections * times, core=self.core * times, elements=self.elements * times)

    @property
    def flops(self) -> int:
        """All its operations."""
        return self.projections + self.core


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A video to be made, seen as work; every number is of rank 0, which holds the largest share."""

    numbers: ModelNumbers
    shape: Shape
    schedule: BroadcastSchedule
    branches: Literal[1, 2] = 2
    """Guidance branches, in one batch."""
    element_bytes: int = 2
    prompt_tokens: int | None = None
    """Tokens of the longer prompt, that cross attention reads; None for as many as the model takes."""

    def forecast(self, width: int) -> Forecast:
        """What is sent and held on a gang of `width`."""
        return forecast(
            self.numbers,
            self.shape,
            self.schedule,
            width,
            guidance_scale=2.0 if self.branches == 2 else 1.0,
            element_bytes=self.element_bytes,
        )

    def mean_all_to_all_bytes(self, width: int) -> int:
        """What the mean rank of a gang of `width` hands to all-to-alls, its own part included, as the paper counts.

        Ranks whose shares are uneven hand over unequal amounts; `forecast` has those of rank 0.
        """
        if width == 1:
            return 0
        tokens = self.branches * self.numbers.num_tokens(self.shape)
        sites = self.schedule.computed["temporal"] * self.numbers.num_layers * self.numbers.sites.count("temporal")
        return 2 * sites * tokens * self.numbers.hidden_size * self.element_bytes // width

    def site(self, kind: Kind, width: int = 1) -> SiteWork:
        """The work of one site of `kind`; temporal attention has all frames of a share of the patches."""
        hidden, text = self.numbers.hidden_size, self._text_tokens
        patches, frames = self.numbers.num_patches(self.shape), self.numbers.latent_frames(self.shape)
        tokens = self.branches * -(-frames // width) * patches
        square = hidden * hidden
        if kind == "mlp":
            return SiteWork(projections=4 * self.numbers.mlp_ratio * tokens * square, elements=tokens * hidden)
        if kind == "cross":
            text_rows = self.branches * text
            return SiteWork(
                projections=4 * (tokens + text_rows) * square,
                core=4 * tokens * text * hidden,
                elements=tokens * hidden,
            )
        span = patches
        if kind == "temporal":
            tokens, span = self.branches * frames * -(-patches // width), frames
        return SiteWork(projections=8 * tokens * square, core=4 * tokens * span * hidden, elements=tokens * hidden)

    def ends(self, width: int = 1) -> SiteWork:
        """A step's work outside the layers: patches in and out, and the time embedding."""
        numbers, hidden = self.numbers, self.numbers.hidden_size
        tokens = self.branches * -(-numbers.latent_frames(self.shape) // width) * numbers.num_patches(self.shape)
        patch = numbers.patch_size**2 * numbers.latent_channels
        time = self.branches * hidden * (TIME_CHANNELS + hidden + 6 * hidden)
        return SiteWork(projections=2 * (3 * tokens * patch * hidden + time), elements=tokens * hidden)

    def step(self, step: int, width: int = 1) -> dict[Kind, SiteWork]:
        """The work of `step` by kind, what is broadcast left out; `ends` is apart."""
        work: dict[Kind, SiteWork] = {}
        for layer in range(self.numbers.num_layers):
            for kind in self.numbers.sites:
                if self.schedule.computes(kind, step, layer):
                    work[kind] = work.get(kind, SiteWork(projections=0)) + self.site(kind, width)
        return work

    def flops(self, width: int = 1) -> dict[str, int]:
        """Operations of the whole video on rank 0 by part.

        Keys: `spatial`, `temporal`, `cross` (softmax(QK)V of each kind), `projections` (of all attention), `mlp`,
        `ends`, `text`, `vae`.
        """
        parts = dict.fromkeys(("spatial", "temporal", "cross", "projections", "mlp", "ends"), 0)
        for step in range(self.schedule.num_steps):
            for kind, work in self.step(step, width).items():
                parts["mlp" if kind == "mlp" else "projections"] += work.projections
                if kind != "mlp":
                    parts[kind] += work.core
            parts["ends"] += self.ends(width).flops
        return {**parts, "text": self.text_flops, "vae": self.decode_flops(width)}

    @property
    def text_flops(self) -> int:
        """Operations of encoding the text and projecting it, which every rank does for itself."""
        hidden = self.numbers.hidden_size
        encoded = self.numbers.text_tokens * self.numbers.text_parameters
        projected = self._text_tokens * (self.numbers.text_width * hidden + hidden**2)
        return 2 * self.branches * (encoded + projected)

    def decode_flops(self, width: int = 1) -> int:
        """Operations of decoding rank 0's latent frames."""
        return self._latent_frames(width) * self.numbers.vae.decode_flops(self._latent_pixels)

    def peak_bytes(self, width: int) -> int:
        """The most memory a rank needs: weights, and the larger of denoising with its cache and of decoding.

        Denoising holds some 12 tensors of the hidden states' size beside the broadcast cache (the MLP's middle before
        and after its activation among them; 11.1 to 12.9 measured, infra/benchmarks/h200-latte-1-memory.json). The
        cache is empty by the time the frames are decoded, 8 at once.
        """
        numbers = self.numbers
        weights = numbers.parameters + numbers.text_parameters + numbers.vae.parameters
        hidden = self.site("mlp", width).elements
        denoise = (4 + 2 * numbers.mlp_ratio) * hidden * self.element_bytes + self.forecast(width).cache_bytes
        pixels = numbers.vae.scale**2 * self._latent_pixels
        decode = min(DECODED_AT_ONCE, self._latent_frames(width)) * numbers.vae.peak_elements(pixels)
        return weights * self.element_bytes + max(denoise, decode * self.element_bytes)

    @property
    def _text_tokens(self) -> int:
        return self.prompt_tokens or self.numbers.text_tokens

    @property
    def _latent_pixels(self) -> int:
        scale = self.numbers.vae.scale
        return (self.shape.height // scale) * (self.shape.width // scale)

    def _latent_frames(self, width: int) -> int:
        return -(-self.numbers.latent_frames(self.shape) // width)
