"""What latents look like before they are decoded, by what was learned from videos that were."""

import numpy as np
import numpy.typing as npt

from pipelines.video import Frames

Floats = npt.NDArray[np.floating]
_RIDGE = 1e-3
"""Of the mean square of a channel: where few videos were seen, it keeps unseen colours moderate."""


class LatentColours:
    """The nearest linear map from a model's latent channels to red, green and blue, by least squares over the first
    frames of the videos so far.

    To decode a latent takes the model's decoder on its device; a linear map of its channels shows what is where, in
    about its colours.
    """

    def __init__(self) -> None:
        self._products: Floats | None = None
        self._targets: Floats | None = None

    def learn(self, latents_1CThw: Floats, frames_THWC: Frames) -> None:
        """Take in a video's final latents and its frames, of which an edge is a multiple of a latent's."""
        inputs = _with_one(latents_1CThw[0, :, 0])
        height, width = latents_1CThw.shape[3:]
        cells = frames_THWC[0].reshape(height, frames_THWC.shape[1] // height, width, -1, 3).mean(axis=(1, 3))
        products, targets = inputs.T @ inputs, inputs.T @ cells.reshape(-1, 3)
        self._products = products if self._products is None else self._products + products
        self._targets = targets if self._targets is None else self._targets + targets

    def picture(self, latents_Chw: Floats) -> Frames | None:
        """One latent frame as uint8 (h, w, 3); None before the first video was learned."""
        if self._products is None or self._targets is None or len(self._products) != len(latents_Chw) + 1:
            return None
        size = len(self._products)
        ridge = _RIDGE * np.trace(self._products) / size * np.eye(size)
        colours = np.linalg.solve(self._products + ridge, self._targets)
        pixels = _with_one(latents_Chw) @ colours
        return pixels.clip(0, 255).round().astype(np.uint8).reshape(*latents_Chw.shape[1:], 3)


def _with_one(latents_Chw: Floats) -> Floats:
    """A row a pixel: its channels, and one."""
    rows = latents_Chw.reshape(len(latents_Chw), -1).T.astype(np.float64)
    return np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
