"""How classifier-free guidance's two branches are run on a gang."""

from typing import Literal

Guidance = Literal["split", "batched", "two_pass"]
"""`split`: on a gang of even width, each half runs one branch, and the halves swap predictions once a step; on one of
odd width as `batched`. `batched`: every rank runs both in one batch. `two_pass`: one after the other."""


def splits(guidance: Guidance, branches: int, width: int) -> bool:
    """Whether a gang of `width` is two halves with a branch each.

    A half's ranks hold as many tokens of one branch as otherwise of both together, and the same cache; what they
    exchange for attention goes to half as many ranks, and on a gang of two to none.
    """
    return guidance == "split" and branches == 2 and width % 2 == 0
