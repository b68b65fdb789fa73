"""What must be known of a model to plan it, without loading it."""

from dataclasses import asdict, dataclass

from cluster.errors import RequestError
from cluster.pab import KINDS, Kind
from cluster.shape import Shape
from cluster.vae import VaeNumbers

LATTE_SITES: tuple[Kind, ...] = ("spatial", "cross", "mlp", "temporal", "mlp")
"""A spatial block, then a temporal one without text (Latte, arXiv 2401.03048)."""
_OTHER = {"sites", "vae", "max_frames", "pads_patches", "text_parameters"}


@dataclass(frozen=True, kw_only=True)
class ModelNumbers:
    """The numbers of a spatial-temporal video diffusion transformer."""

    sites: tuple[Kind, ...] = LATTE_SITES
    """The sites of a layer, in the order they run."""
    num_layers: int
    """Layers, each with all of `sites`."""
    hidden_size: int
    num_heads: int
    mlp_ratio: int = 4
    """Width of an MLP's middle, in widths of the model."""
    patch_size: int
    """Edge of a patch in latent pixels."""
    latent_channels: int
    text_tokens: int = 120
    """Tokens of text that cross attention reads."""
    text_width: int = 4096
    """Width of the text features."""
    text_parameters: int = 0
    """Parameters of the text encoder."""
    vae: VaeNumbers
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
            if name not in _OTHER and (not isinstance(value, int) or value < 1):
                raise ValueError(f"it makes {name} {value!r}, and 1 or more is wanted")

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Its kinds of attention."""
        return tuple(kind for kind in KINDS if kind in self.sites and kind != "mlp")

    @property
    def vae_scale(self) -> int:
        """Pixels a latent pixel, along each edge."""
        return self.vae.scale

    @property
    def edge_multiple(self) -> int:
        """What height and width must be multiples of, in pixels."""
        return self.vae.scale if self.pads_patches else self._patch_edge

    @property
    def parameters(self) -> int:
        """Parameters of the transformer, from the sizes of its layers' matrices."""
        square = self.hidden_size**2
        each = {"spatial": 4, "temporal": 4, "cross": 4, "mlp": 2 * self.mlp_ratio}
        ends = self.hidden_size * (256 + self.text_width) + 8 * square
        return self.num_layers * sum(each[kind] for kind in self.sites) * square + ends

    def num_patches(self, shape: Shape) -> int:
        """Patches of one frame."""
        return -(-shape.height // self._patch_edge) * -(-shape.width // self._patch_edge)

    def latent_frames(self, shape: Shape) -> int:
        """Frames of the latents."""
        return self.vae.latent_frames(shape.num_frames)

    def num_tokens(self, shape: Shape) -> int:
        """Tokens of the whole video, one branch."""
        return self.num_patches(shape) * self.latent_frames(shape)

    def legal_widths(self, shape: Shape | None = None) -> tuple[int, ...]:
        """Gang widths whose every rank holds a frame and a patch of `shape` (of the smallest one if None)."""
        smallest = shape or Shape(height=self.min_edge, width=self.min_edge, num_frames=self.num_frames)
        return tuple(range(1, min(self.latent_frames(smallest), self.num_patches(smallest)) + 1))

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

    def _check_frames(self, frames: int) -> None:
        if self.max_frames is None:
            if frames != self.num_frames:
                raise RequestError(f"num_frames is {frames}; the model makes videos of {self.num_frames} frames")
            return
        group = self.vae.frame_group
        if frames % group or not group <= frames <= self.max_frames:
            raise RequestError(f"num_frames is {frames}; the model makes {group} to {self.max_frames}, in {group}s")
