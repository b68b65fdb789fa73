"""One rank of a gang that nobody has at hand: its share of the work without the others."""

import torch

from actors.engine.sequence import FrameParallel, spans


class LoneShard(FrameParallel):
    """Rank 0 of a gang of `width`, which holds the largest share; what others would send is left unset.

    The work is of the shapes that the rank has in the gang, so timing it on one device gives the gang's compute
    time; only the collectives have to be modelled. The numbers that come out mean nothing.
    """

    def __init__(self, num_frames: int, width: int) -> None:
        super().__init__(num_frames)
        self._cuts = width
        self._all_frames = num_frames
        self._frames = spans(num_frames, width)

    def to_patches(self, x_BtSD: torch.Tensor) -> torch.Tensor:
        """(B, t, S, D) -> (B, T, s, D), as many elements as the rank would have."""
        batch, _, patches, hidden = x_BtSD.shape
        start, stop = spans(patches, self._cuts)[0]
        return x_BtSD.new_zeros((batch, self._all_frames, stop - start, hidden))

    def to_frames(self, x_BTsD: torch.Tensor, num_patches: int) -> torch.Tensor:
        """(B, T, s, D) -> (B, t, S, D), likewise."""
        batch, _, _, hidden = x_BTsD.shape
        start, stop = self._frames[0]
        return x_BTsD.new_zeros((batch, stop - start, num_patches, hidden))
