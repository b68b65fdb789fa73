"""What must be known of a model to plan it, without loading it."""

from dataclasses import asdict, dataclass
from itertools import pairwise

from cluster.errors import RequestError
from cluster.guidance import Guidance, Layout
from cluster.pab import KINDS, Kind
from cluster.shape import Shape
from cluster.vae import VaeNumbers

LATTE_SITES: tuple[Kind, ...] = ("spatial", "cross", "mlp", "temporal", "mlp")
"""A spatial block, then a temporal one without text (Latte, arXiv 2401.03048)."""
TIME_CHANNELS = 256
"""Sinusoids that the time embedding reads (diffusers' `AdaLayerNormSingle`)."""
_OPTIONAL = {"max_frames", "mlp_size", "modulation_size", "latent_bytes", "prediction_bytes"}
_FLAGS = {"joint", "text_joins", "learns_variance", "pads_patches"}
_OTHER = {"sites", "vae", "text_parameters", "text_embeddings"} | _FLAGS


@dataclass(frozen=True, kw_only=True)
class ModelNumbers:
    """The numbers of a video diffusion transformer, spatial-temporal or with joint 3-D attention."""

    sites: tuple[Kind, ...] = LATTE_SITES
    """The sites of a layer, in the order they run."""
    num_layers: int
    """Layers, each with all of `sites`."""
    joint: bool = False
    """Whether spatial attention is of all frames together: a gang shares out tokens, and in attention heads."""
    hidden_size: int
    num_heads: int
    mlp_ratio: int = 4
    """Width of an MLP's middle, in widths of the model."""
    mlp_size: int | None = None
    """That width itself, where it is no multiple of the model's."""
    modulation_size: int | None = None
    """Width of the timestep's embedding, from which each site projects modulations of its own (CogVideoX); without,
    one projection of the model's width serves all layers."""
    learns_variance: bool = True
    """Whether it predicts a variance beside the noise."""
    patch_size: int
    """Edge of a patch in latent pixels."""
    latent_channels: int
    text_tokens: int = 120
    """Tokens of text, with the padding that is computed like them."""
    text_joins: bool = False
    """Whether they are the start of the sequence that joint attention is of; else cross attention reads them."""
    text_width: int = 4096
    """Width of the text features."""
    text_parameters: int = 0
    """Parameters of the text encoder's matrices."""
    text_embeddings: int = 0
    """Parameters of its words, which are looked up and not multiplied."""
    vae: VaeNumbers
    latent_bytes: int | None = None
    """Bytes of an element of the latents between the steps; None for as many as the weights have."""
    prediction_bytes: int | None = None
    """Likewise of what the transformer predicts."""
    num_frames: int
    """The number of frames it makes."""
    max_frames: int | None = None
    """With it the model makes any number of frames that its VAE divides, up to this; without, `num_frames` only."""
    min_edge: int
    """Smallest height or width in pixels."""
    max_edge: int
    """Largest height or width in pixels."""
    native_edge: int
    """Height and width of the square that it was trained for, in pixels; beyond, its videos are worse."""
    pads_patches: bool = False
    """Whether a last, partly filled patch is allowed along an edge."""
    max_prompt_bytes: int
    """Longest prompt it takes; the tokenizer may keep less."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name in _OTHER or (value is None and name in _OPTIONAL):
                continue
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"it makes {name} {value!r}, and 1 or more is wanted")
        if self.joint and "temporal" in self.sites:
            raise ValueError("it has a temporal site, and its joint attention is of all frames already")
        if self.text_joins and not self.joint:
            raise ValueError("it has text_joins without joint; text joins the sequence of joint attention only")

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Its kinds of attention."""
        return tuple(kind for kind in KINDS if kind in self.sites and kind != "mlp")

    @property
    def blocks(self) -> tuple[tuple[Kind, ...], ...]:
        """The sites of a layer, block by block; a block ends with its MLP."""
        ends = [index + 1 for index, kind in enumerate(self.sites) if kind == "mlp"]
        return tuple(self.sites[start:end] for start, end in pairwise([0, *ends]))

    @property
    def shared_kind(self) -> Kind:
        """The kind of attention that needs what other ranks have."""
        return "spatial" if self.joint else "temporal"

    @property
    def vae_scale(self) -> int:
        """Pixels a latent pixel, along each edge."""
        return self.vae.scale

    @property
    def edge_multiple(self) -> int:
        """What height and width must be multiples of, in pixels."""
        return self.vae.scale if self.pads_patches else self._patch_edge

    @property
    def mlp_width(self) -> int:
        """Width of an MLP's middle."""
        return self.mlp_size or self.mlp_ratio * self.hidden_size

    @property
    def joined_text(self) -> int:
        """Tokens of text in the sequence."""
        return self.text_tokens if self.text_joins else 0

    @property
    def parameters(self) -> int:
        """Parameters of the transformer, from the sizes of its matrices."""
        attention, mlp = 4 * self.hidden_size**2, 2 * self.hidden_size * self.mlp_width
        layer = sum(mlp if kind == "mlp" else attention for kind in self.sites)
        return self.num_layers * layer + self.text_projection + self.time_parameters

    @property
    def text_projection(self) -> int:
        """Parameters that each token of text goes through: one matrix where it joins the sequence, else two."""
        return self.hidden_size * (self.text_width + (0 if self.text_joins else self.hidden_size))

    @property
    def time_parameters(self) -> int:
        """Parameters that the timestep goes through: its embedding and the modulations, the last layer's among them."""
        hidden, small = self.hidden_size, self.modulation_size
        if small is None:
            return hidden * (TIME_CHANNELS + hidden + 6 * hidden)
        sites = self.num_layers * len(self.sites)
        return small * (hidden + small + 6 * hidden * sites + 2 * hidden)

    def num_patches(self, shape: Shape) -> int:
        """Patches of one frame."""
        return -(-shape.height // self._patch_edge) * -(-shape.width // self._patch_edge)

    def latent_frames(self, shape: Shape) -> int:
        """Frames of the latents."""
        return self.vae.latent_frames(shape.num_frames)

    def latent_size(self, shape: Shape) -> tuple[int, int, int, int]:
        """Channels, frames, height and width of a video's latents."""
        scale = self.vae_scale
        return self.latent_channels, self.latent_frames(shape), shape.height // scale, shape.width // scale

    def num_tokens(self, shape: Shape) -> int:
        """Tokens of the whole video, one branch."""
        return self.num_patches(shape) * self.latent_frames(shape)

    def sequence(self, shape: Shape) -> int:
        """Tokens that joint attention is of, one branch: the video's, after the text that joins them."""
        return self.joined_text + self.num_tokens(shape)

    def rows(self, shape: Shape, width: int) -> int:
        """Rows of the hidden states on rank 0 of a gang of `width`, the largest share, one branch."""
        if self.joint:
            return -(-self.sequence(shape) // width)
        return -(-self.latent_frames(shape) // width) * self.num_patches(shape)

    def video_rows(self, shape: Shape, width: int) -> int:
        """Those of the video among them; rank 0 has the start of the sequence, and may have text alone."""
        return max(0, self.rows(shape, width) - self.joined_text)

    def legal_widths(self, shape: Shape | None = None) -> tuple[int, ...]:
        """How many ranks may share out the tokens of `shape` (of the one it was trained for if None).

        Every rank holds a frame and a patch, or with joint attention as many heads as the others and a token.
        """
        shape = shape or Shape(height=self.native_edge, width=self.native_edge, num_frames=self.num_frames)
        if self.joint:
            widths = range(1, min(self.num_heads, self.sequence(shape)) + 1)
            return tuple(width for width in widths if self.num_heads % width == 0)
        return tuple(range(1, min(self.latent_frames(shape), self.num_patches(shape)) + 1))

    def gang_widths(
        self, shape: Shape | None = None, branches: int = 2, guidance: Guidance = "batched"
    ) -> tuple[int, ...]:
        """Widths of gangs that can make `shape` with so many guidance branches: their ranks, or those of a half."""
        legal = self.legal_widths(shape)
        widths = range(1, 2 * legal[-1] + 1)
        return tuple(width for width in widths if Layout.of(guidance, branches, width).sharers in legal)

    def check(self, shape: Shape) -> None:
        """Raise `RequestError` if the model cannot make `shape`."""
        for name, edge in (("height", shape.height), ("width", shape.width)):
            if edge % self.edge_multiple:
                below = max(edge // self.edge_multiple * self.edge_multiple, self.min_edge)
                raise RequestError(
                    f"{name} {edge} is not divisible by {self.edge_multiple}; the nearest below is {below}"
                )
            if not self.min_edge <= edge <= self.max_edge:
                raise RequestError(f"{name} {edge} is outside {self.min_edge} to {self.max_edge}, what the model makes")
        self._check_frames(shape.num_frames)

    @property
    def _patch_edge(self) -> int:
        return self.patch_size * self.vae.scale

    @property
    def frame_range(self) -> str | None:
        """The numbers of frames that it makes, spelt out; None for `num_frames` only."""
        if self.max_frames is None:
            return None
        group, lone = self.vae.frame_group, self.vae.lone_frames
        return f"{lone or group} to {self.max_frames}, in {group}s" + (" after the first" if lone else "")

    def _check_frames(self, frames: int) -> None:
        group, lone = self.vae.frame_group, self.vae.lone_frames
        if self.max_frames is None:
            makes = frames == self.num_frames
        else:
            makes = not (frames - lone) % group and (lone or group) <= frames <= self.max_frames
        if not makes:
            ways = self.frame_range or f"videos of {self.num_frames} frames"
            raise RequestError(f"num_frames is {frames}; the model makes {ways}")
