"""Ulysses sequence parallelism for models with joint 3-D attention (arXiv 2309.14509; PAB paper, sec. 3.4).

Shapes: B batch, M all tokens of the sequence, m a rank's share, N and n those of the video among them, H heads,
g a rank's share of the heads, E width of a head, V values of a patch, C latent channels, T frames,
h and w latent height and width.
"""

from dataclasses import dataclass

import torch

from actors.engine.attention import attend
from actors.engine.collectives import Collectives
from actors.engine.patches import PatchGrid
from actors.engine.sequence import spans
from cluster.errors import ConfigError

Rotation = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines, each (m, E), by which queries and keys are turned (RoPE, arXiv 2104.09864)."""


@dataclass(frozen=True, kw_only=True)
class Positions:
    """What tells a model where a rank's tokens are; constant over a run."""

    rotation: Rotation | None = None
    added_1nD: torch.Tensor | None = None
    """What is added to the rank's tokens of the video before the first layer."""


class TokenParallel:
    """Tokens shared out over the ranks of `collectives`, which count what it hands to them.

    Everything but attention works on a token alone. Attention needs all tokens, but a head alone: queries, keys and
    values go through one all-to-all together, after which a rank has all M tokens of its H / P heads, and the
    output comes back by another. Shares are uneven where M does not divide; nothing is padded.

    Text that attends jointly with the video is the first `text_tokens` of the one sequence and shared out with it:
    a layer sends 4 L / P of its rows a rank. Text kept whole on every rank would need no exchange on the way in, but
    every rank would have to hand its heads' output to all others, L rows: less at 2 and 3 ranks, as much at 4, more
    beyond, and every rank would do all of the text's projections and MLPs and keep all of its cache.

    Bytes a rank 0 of P hands over for one attention, e bytes a number, D = H E:
    ``B D e (3 ceil(M / P) + M / P)`` in two calls; for the final latents ``max(0, ceil(M / P) - L) V e`` in one.
    """

    axis = 1
    """Of the latents cut into patches: the tokens."""
    graph_key: tuple[int, ...]
    positions = Positions()
    """Of this rank's tokens, set by the model that shares them out."""

    def __init__(
        self,
        grid: PatchGrid,
        num_heads: int,
        collectives: Collectives | None = None,
        *,
        text_tokens: int = 0,
    ) -> None:
        """Share the tokens of `grid`, after `text_tokens` of text that attends jointly with them.

        Raises:
            ConfigError: the heads do not divide over the ranks.
        """
        self.grid = grid
        self.collectives = collectives or Collectives()
        _check_heads(num_heads, self.collectives.width)
        self._heads = num_heads // self.collectives.width
        self._tokens = spans(text_tokens + grid.num_tokens, self.collectives.width)
        self._text = [(min(start, text_tokens), min(stop, text_tokens)) for start, stop in self._tokens]
        self.num_text = self.text.stop - self.text.start
        """Rows of the text that this rank has; a number, which a compiled block may read."""
        self._video = [(max(start - text_tokens, 0), max(stop - text_tokens, 0)) for start, stop in self._tokens]
        start, stop = self._tokens[self.collectives.rank]
        self._num_own = stop - start
        self.graph_key = (self.collectives.width, self._tokens[-1][1], self.num_text, self._num_own)

    @property
    def text(self) -> slice:
        """This rank's rows of the text; they come before its tokens of the video."""
        return slice(*self._text[self.collectives.rank])

    @property
    def video(self) -> slice:
        """This rank's tokens of the video; a rank may have text alone."""
        return slice(*self._video[self.collectives.rank])

    def share(self, latents_BCThw: torch.Tensor) -> torch.Tensor:
        """This rank's patches of the whole video's latents, (B, n, V)."""
        return self.own(self.grid.cut(latents_BCThw))

    def own(self, joined_BNV: torch.Tensor) -> torch.Tensor:
        """This rank's patches of all patches, (B, n, V)."""
        return joined_BNV[:, self.video]

    def gather(self, patches_BnV: torch.Tensor) -> torch.Tensor:
        """The whole video's latents on every rank, (B, C, T, h, w); once a video."""
        if self.collectives.alone:
            return self.grid.join(patches_BnV)
        lengths = [stop - start for start, stop in self._video]
        return self.grid.join(self.collectives.gather(patches_BnV, 1, lengths))

    def attend(self, q_BmHE: torch.Tensor, k_BmHE: torch.Tensor, v_BmHE: torch.Tensor) -> torch.Tensor:
        """Attention of every token to every token, (B, m, H, E), before the out-projection."""
        q_BMgE, k_BMgE, v_BMgE = self.to_heads(q_BmHE, k_BmHE, v_BmHE)
        return self.to_tokens(attend(q_BMgE, k_BMgE, v_BMgE))

    def to_heads(self, *parts_BmHE: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """All tokens of this rank's heads: each (B, m, H, E) -> (B, M, g, E), in one exchange."""
        if self.collectives.alone:
            return parts_BmHE
        batch, _, _, width = parts_BmHE[0].shape
        sent = [torch.stack(heads) for heads in zip(*(part.split(self._heads, 2) for part in parts_BmHE), strict=True)]
        got = [(len(parts_BmHE), batch, stop - start, self._heads, width) for start, stop in self._tokens]
        return torch.cat(self.collectives.exchange(sent, got), dim=2).unbind(0)

    def to_tokens(self, x_BMgE: torch.Tensor) -> torch.Tensor:
        """All heads of this rank's tokens: (B, M, g, E) -> (B, m, H, E)."""
        if self.collectives.alone:
            return x_BMgE
        batch, _, heads, width = x_BMgE.shape
        sent = [x_BMgE[:, start:stop] for start, stop in self._tokens]
        got = [(batch, self._num_own, heads, width)] * len(self._tokens)
        return torch.cat(self.collectives.exchange(sent, got), dim=2)


def _check_heads(num_heads: int, width: int) -> None:
    if num_heads % width:
        legal = ", ".join(str(parts) for parts in range(1, num_heads + 1) if num_heads % parts == 0)
        raise ConfigError(f"{num_heads} heads do not divide over {width} ranks; use one of {legal}")
