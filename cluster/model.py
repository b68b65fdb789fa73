"""What must be known of a model to plan it, without loading it."""

from dataclasses import dataclass

from cluster.errors import RequestError
from cluster.pab import Kind
from cluster.shape import Shape


@dataclass(frozen=True, kw_only=True)
class ModelNumbers:
    """The numbers of a spatial-temporal video diffusion transformer."""

    kinds: tuple[Kind, ...]
    """Its kinds of attention."""
    num_layers: int
    """Layers, each with one attention site of every kind."""
    hidden_size: int
    num_heads: int
    patch_size: int
    """Edge of a patch in latent pixels."""
    vae_scale: int
    """Pixels a latent pixel, along each edge."""
    latent_channels: int
    num_frames: int
    """The number of frames it makes."""
    min_edge: int
    """Smallest height or width in pixels."""
    max_edge: int
    """Largest height or width in pixels."""
    native_edge: int
    """Height and width of the square that it was trained for, in pixels; beyond, its videos are worse."""
    max_prompt_bytes: int
    """Longest prompt it takes; the tokenizer may keep less."""

    @property
    def edge_multiple(self) -> int:
        """What height and width must be multiples of, in pixels."""
        return self.patch_size * self.vae_scale

    def num_patches(self, shape: Shape) -> int:
        """Patches of one frame."""
        return (shape.height // self.edge_multiple) * (shape.width // self.edge_multiple)

    def num_tokens(self, shape: Shape) -> int:
        """Tokens of the whole video, one branch."""
        return self.num_patches(shape) * shape.num_frames

    def legal_widths(self, shape: Shape | None = None) -> tuple[int, ...]:
        """Gang widths whose every rank holds a frame and a patch of `shape` (of the smallest one if None)."""
        smallest = shape or Shape(height=self.min_edge, width=self.min_edge, num_frames=self.num_frames)
        return tuple(range(1, min(smallest.num_frames, self.num_patches(smallest)) + 1))

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
        if shape.num_frames != self.num_frames:
            raise RequestError(f"num_frames is {shape.num_frames}; the model makes videos of {self.num_frames} frames")
