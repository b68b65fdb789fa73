"""How classifier-free guidance's two branches are run on a gang."""

from dataclasses import dataclass
from typing import Literal

Guidance = Literal["split", "batched", "two_pass"]
"""`split`: on a gang of even width, each half runs one branch, and the halves swap predictions once a step; on one of
odd width as `batched`. `batched`: every rank runs both in one batch. `two_pass`: one after the other."""


def branches_of(guidance_scale: float) -> Literal[1, 2]:
    """Guidance branches of a video: with a scale of 1 or less there is no negative one."""
    return 2 if guidance_scale > 1 else 1


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the ranks of a gang are to one another."""

    branches: int
    """Guidance branches that each rank works on."""
    sharers: int
    """Ranks that share out the tokens of those branches: all of them, or each half by itself."""

    @classmethod
    def of(cls, guidance: Guidance, branches: int, width: int) -> "Layout":
        """Of a gang of `width` that makes a video of so many guidance branches.

        The ranks of a half hold as many tokens of one branch as otherwise of both together, and the same cache; what
        they exchange for attention goes to half as many ranks, and on a gang of two to none.
        """
        if guidance == "split" and branches == 2 and width % 2 == 0:
            return cls(branches=1, sharers=width // 2)
        return cls(branches=branches, sharers=width)

    def splits(self, width: int) -> bool:
        """Whether a gang of `width` is two halves with a branch each."""
        return self.sharers < width
