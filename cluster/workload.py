"""What a video costs in operations and bytes, on each rank of a gang, from the schedule alone.

Operations are counted as 2 a multiplication and addition, matrix products and attention only, as
torch.utils.flop_counter counts them.
"""

from dataclasses import dataclass
from typing import Literal

from cluster.forecast import Forecast, forecast
from cluster.guidance import Guidance, Layout
from cluster.model import ModelNumbers
from cluster.pab import Kind
from cluster.schedule import BroadcastSchedule
from cluster.shape import Shape

EXCHANGING = 14
"""Tensors of the hidden states' size around a joint attention's exchange: the residual and the normed, then queries,
keys and values as they are, turned or stacked, as they came and as they are joined. Counted, not measured."""


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
    """Guidance branches."""
    guidance: Guidance = "batched"
    """How they share a gang."""
    element_bytes: int = 2
    prompt_tokens: int | None = None
    """Tokens of the longer prompt, that cross attention reads; None for as many as the model takes."""

    @property
    def gang_widths(self) -> tuple[int, ...]:
        """Widths of gangs that can make it."""
        return self.numbers.gang_widths(self.shape, self.branches, self.guidance)

    def layout(self, width: int) -> Layout:
        """How a gang of `width` shares the branches."""
        return Layout.of(self.guidance, self.branches, width)

    def forecast(self, width: int) -> Forecast:
        """What is sent and held on a gang of `width`."""
        return forecast(
            self.numbers,
            self.shape,
            self.schedule,
            width,
            branches=self.branches,
            guidance=self.guidance,
            element_bytes=self.element_bytes,
        )

    def mean_all_to_all_bytes(self, width: int) -> int:
        """What the mean rank of a gang of `width` hands to all-to-alls, its own part included, as the paper counts.

        Ranks whose shares are uneven hand over unequal amounts; `forecast` has those of rank 0.
        """
        layout = self.layout(width)
        if layout.sharers == 1:
            return 0
        numbers, kind = self.numbers, self.numbers.shared_kind
        shares, tokens = (4, numbers.sequence(self.shape)) if numbers.joint else (2, numbers.num_tokens(self.shape))
        sites = self.schedule.computed[kind] * numbers.num_layers * numbers.sites.count(kind)
        tokens *= layout.branches
        return shares * sites * tokens * numbers.hidden_size * self.element_bytes // layout.sharers

    def site(self, kind: Kind, width: int = 1) -> SiteWork:
        """The work of one site of `kind`.

        Temporal attention has all frames of a share of the patches; joint attention all tokens of a share of the heads.
        """
        hidden, text, layout = self.numbers.hidden_size, self._text_tokens, self.layout(width)
        patches, frames = self.numbers.num_patches(self.shape), self.numbers.latent_frames(self.shape)
        tokens = layout.branches * self.numbers.rows(self.shape, layout.sharers)
        square = hidden * hidden
        if kind == "mlp":
            return SiteWork(projections=4 * tokens * hidden * self.numbers.mlp_width, elements=tokens * hidden)
        if kind == "cross":
            text_rows = layout.branches * text
            return SiteWork(
                projections=4 * (tokens + text_rows) * square,
                core=4 * tokens * text * hidden,
                elements=tokens * hidden,
            )
        if self.numbers.joint:
            core = 4 * layout.branches * self.numbers.sequence(self.shape) ** 2 * hidden // layout.sharers
            return SiteWork(projections=8 * tokens * square, core=core, elements=tokens * hidden)
        span = patches
        if kind == "temporal":
            tokens, span = layout.branches * frames * -(-patches // layout.sharers), frames
        return SiteWork(projections=8 * tokens * square, core=4 * tokens * span * hidden, elements=tokens * hidden)

    def ends(self, width: int = 1) -> SiteWork:
        """A step's work outside the layers: patches in and out, and the time embedding."""
        numbers, hidden, layout = self.numbers, self.numbers.hidden_size, self.layout(width)
        tokens = layout.branches * numbers.video_rows(self.shape, layout.sharers)
        patch = numbers.patch_size**2 * numbers.latent_channels
        patches = (3 if numbers.learns_variance else 2) * tokens * patch * hidden
        return SiteWork(projections=2 * (patches + layout.branches * numbers.time_parameters), elements=tokens * hidden)

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
        encoded = self.numbers.text_tokens * self.numbers.text_parameters
        return 2 * self.branches * (encoded + self._text_tokens * self.numbers.text_projection)

    def decode_flops(self, width: int = 1) -> int:
        """Operations of decoding rank 0's latent frames."""
        return self.numbers.vae.decode_flops(self._latent_pixels, self.decoded_frames(width))

    def decoded_frames(self, width: int) -> int:
        """Latent frames that the busiest rank decodes, rank 0."""
        return self.numbers.vae.rank_frames(self.numbers.latent_frames(self.shape), width)

    def peak_bytes(self, width: int) -> int:
        """The most memory a rank needs: weights, and the larger of denoising with its cache and of decoding.

        Denoising holds some 12 tensors of the hidden states' size beside the broadcast cache (the MLP's middle before
        and after its activation among them; 11.1 to 12.9 measured, infra/benchmarks/h200-latte-1-memory.json), or
        `EXCHANGING` of them; guidance in two passes holds those of one branch at a time, and the cache of both. The
        cache is empty by the time the frames are decoded.
        """
        numbers, size = self.numbers, self.element_bytes
        vae_size = numbers.vae.element_bytes or size
        text = numbers.text_parameters + numbers.text_embeddings
        weights = (numbers.parameters + text) * size + numbers.vae.parameters * vae_size
        layout = self.layout(width)
        at_once = 1 if self.guidance == "two_pass" else layout.branches
        rows = at_once * numbers.rows(self.shape, layout.sharers)
        exchanging = EXCHANGING * numbers.hidden_size if numbers.joint and layout.sharers > 1 else 0
        denoise = rows * max(4 * numbers.hidden_size + 2 * numbers.mlp_width, exchanging)
        decode = numbers.vae.peak_elements(self._latent_pixels, self.decoded_frames(width))
        return weights + max(denoise * size + self.forecast(width).cache_bytes, decode * vae_size)

    @property
    def _text_tokens(self) -> int:
        return self.prompt_tokens or self.numbers.text_tokens

    @property
    def _latent_pixels(self) -> int:
        scale = self.numbers.vae.scale
        return (self.shape.height // scale) * (self.shape.width // scale)
