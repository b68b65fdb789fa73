"""The request for one video, and the identity of what it asks for."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Literal

from cluster.errors import ConfigError
from cluster.guidance import Guidance, branches_of
from cluster.pab import PabConfig
from cluster.shape import Shape


@dataclass(frozen=True, kw_only=True)
class VideoRequest:
    """Everything that decides a video's content, checked before it is built."""

    prompt: str
    negative_prompt: str = ""
    seed: int = 0
    height: int
    width: int
    num_frames: int
    fps: int = 8
    steps: int
    guidance_scale: float
    model: str
    """The model's id in configs/models or its folder."""
    model_revision: str
    """Digest of the model's files."""
    pab: PabConfig = field(default_factory=PabConfig)
    id: str | None = None
    """The row's own name; not part of the identity."""

    @property
    def shape(self) -> Shape:
        """The shape of the video."""
        return Shape(height=self.height, width=self.width, num_frames=self.num_frames)

    @property
    def branches(self) -> Literal[1, 2]:
        """Guidance branches."""
        return branches_of(self.guidance_scale)

    @property
    def sample_id(self) -> str:
        """32 hex digits of the SHA-256 over all that decides the content.

        The gang's width does not, nor does what the model is called: `model_revision` is of its files.
        """
        content = {
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "seed": self.seed,
            "height": self.height,
            "width": self.width,
            "num_frames": self.num_frames,
            "fps": self.fps,
            "steps": self.steps,
            "guidance_scale": self.guidance_scale,
            "model_revision": self.model_revision,
            "pab": self.pab.text(),
        }
        text = json.dumps(content, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to run a request; none of it changes what is asked for."""

    guidance: Guidance = "batched"
    """How the two guidance branches share the gang."""
    return_latents: bool = False
    """Whether rank 0 hands back the final latents."""
    snapshot_every: int | None = None
    """Take a snapshot before full steps that are so many steps apart at least; None takes none."""

    def __post_init__(self) -> None:
        if self.snapshot_every is not None and self.snapshot_every < 1:
            raise ConfigError(f"engine.snapshot_every is {self.snapshot_every}; it must be 1 or more, or null")
