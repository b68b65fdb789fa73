"""A causal video decoder shared out over the ranks of a gang, exact to the bit.

Such a decoder takes latent frames by chunks, in order; a convolution over time reads the last frames that the chunk
before brought to it. Chunks are dealt to the ranks in turn, and a convolution gets those frames from the rank of the
chunk before as soon as they are there: neighbours are one message apart, not one chunk.

Shapes: f frames of a chunk, F of the video, H and W pixels; a layer's x is (1, C, T, h, w), T its frames.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import nn

from actors.engine.families.frames import Frames, as_bytes
from actors.engine.peers import Peers, Pending
from cluster.causal_vae import CACHED_FRAMES

Hook = Callable[[Any, tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]] | None]
"""What changes a layer's arguments before it is called, as torch's forward pre-hooks do."""


class Wavefront:
    """One decoding on one rank; where one fails, the others wait for it until the gang is ended.

    In each round as many neighbouring chunks as there are ranks go through the layers side by side. At a layer a rank
    first takes from the rank before it, then hands to the next; rank 0 of a round takes what the last rank of the
    round before hands it, asked for as rank 0 itself passes that layer. So all ask by round, layer and rank, and no
    circle can close.
    """

    def __init__(
        self, peers: Peers, lengths: Sequence[int], before_video: Callable[[torch.Tensor], torch.Tensor]
    ) -> None:
        """`lengths` has the frames of each chunk; `before_video` makes, of a layer's first, the one before it."""
        self._peers = peers
        self._lengths = list(lengths)
        self._before_video = before_video
        self._sending: Pending | None = None
        """The last that was handed on. The one before has come by then: a rank keeps no more than a lone worker."""
        self._coming: dict[nn.Module, Pending] = {}
        """To rank 0, for its next chunk."""
        self.chunk = peers.rank
        """The one that this rank is at."""

    def run(
        self, decode: Callable[[int], torch.Tensor], hooks: Mapping[nn.Module, Hook], size: tuple[int, int]
    ) -> Frames:
        """All frames (F, H, W, 3), H and W as in `size`, on rank 0, and none on the others.

        `decode` makes the pixels (1, 3, f, H, W) of a chunk; `hooks` are on the layers meanwhile, and call `past` or
        `skip`.
        """
        own = []
        with ExitStack() as hooked:
            for layer, hook in hooks.items():
                hooked.enter_context(layer.register_forward_pre_hook(hook, with_kwargs=True))
            for chunk in range(self._peers.rank, len(self._lengths), self._peers.width):
                self.chunk = chunk
                own.append(as_bytes(decode(chunk)[0].transpose(0, 1)))
        self._await_sent()
        return self._join(own, size)

    def past(self, layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """The frames before `x` at `layer`; the last of them all go to the next chunk."""
        past = self._taken(layer, x) if self.chunk else self._nothing_before(x)
        self._hand_on(layer, torch.cat([past, x[:, :, -CACHED_FRAMES:]], dim=2)[:, :, -CACHED_FRAMES:])
        return past

    def skip(self, layer: nn.Module, x: torch.Tensor) -> None:
        """The video's first chunk, `x` at `layer`, does without it: the video begins for it with the next one."""
        self._hand_on(layer, self._nothing_before(x))

    def _nothing_before(self, x: torch.Tensor) -> torch.Tensor:
        return self._before_video(x[:, :, :1]).expand(_past_shape(x))

    def _taken(self, layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if self._peers.rank == 0:
            return self._coming.pop(layer).wait()
        return self._peers.receive(_past_shape(x), x, self._peers.rank - 1).wait()

    def _hand_on(self, layer: nn.Module, past: torch.Tensor) -> None:
        rank, width = self._peers.rank, self._peers.width
        if self.chunk + 1 < len(self._lengths):
            self._await_sent()
            self._sending = self._peers.send(past, (rank + 1) % width)
        if rank == 0 and self.chunk + width < len(self._lengths):
            self._coming[layer] = self._peers.receive(past.shape, past, width - 1)

    def _await_sent(self) -> None:
        if self._sending is not None:
            self._sending.wait()
            self._sending = None

    def _join(self, own: list[torch.Tensor], size: tuple[int, int]) -> Frames:
        """Every rank hands its frames to rank 0 once, all in one piece."""
        peers, chunks = self._peers, len(self._lengths)
        if peers.rank:
            if own:
                peers.send(torch.cat(own), 0).wait()
            return np.empty((0, *size, 3), np.uint8)
        video = own[:1] * chunks
        for rank in range(min(peers.width, chunks)):
            lengths = self._lengths[rank :: peers.width]
            if rank:
                own = list(peers.receive((sum(lengths), *size, 3), video[0], rank).wait().split(lengths))
            video[rank :: peers.width] = own
        frames: Frames = torch.cat(video).cpu().numpy()
        return frames


def _past_shape(x: torch.Tensor) -> torch.Size:
    return torch.Size((*x.shape[:2], CACHED_FRAMES, *x.shape[3:]))
