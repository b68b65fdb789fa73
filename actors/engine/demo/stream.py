"""An endless stream of random training scenes with tokenised captions and labels, made by worker processes.

Shapes: B scenes of a batch, N tokens (TEXT_TOKENS), A facts (see FACTS).
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import lcm
from types import MappingProxyType

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from actors.engine.demo.render import SceneTensors, scene_tensors
from actors.engine.demo.scenes import Mover, Scene, training_scene
from actors.engine.demo.vocabulary import (
    BACKGROUNDS,
    COLOURS,
    DIRECTIONS,
    FRAME_SIZES,
    KINDS,
    SIZES,
    SPEEDS,
    TEXT_TOKENS,
)

# ByT5's ids: a byte's value plus 3; 1 ends a text, 0 pads it.
BYTE_OFFSET = 3
END_ID = 1
PAD_ID = 0

# What a caption says, with the number of answers ("not said" is one of them where that can be).
FACTS: Mapping[str, int] = MappingProxyType(
    {
        "colour": len(COLOURS),
        "kind": len(KINDS),
        "direction": len(DIRECTIONS),
        "size": len(SIZES) + 1,
        "speed": len(SPEEDS) + 1,
        "second colour": len(COLOURS) + 1,
        "second kind": len(KINDS) + 1,
        "second direction": len(DIRECTIONS) + 1,
        "background": len(BACKGROUNDS) + 1,
    }
)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Scenes of one frame size."""

    height: int
    width: int
    scenes: SceneTensors
    token_ids_BN: Tensor
    lengths_B: Tensor
    """Tokens of each caption, its end mark included."""
    facts_BA: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`."""
        return Batch(
            height=self.height,
            width=self.width,
            scenes=self.scenes.to(device),
            token_ids_BN=self.token_ids_BN.to(device, non_blocking=True),
            lengths_B=self.lengths_B.to(device, non_blocking=True),
            facts_BA=self.facts_BA.to(device, non_blocking=True),
        )


class SceneStream(IterableDataset[Batch]):
    """Batches of one frame size each, all with the same number of latent positions.

    `positions` is the number of (scene, patch) pairs of a batch, where a patch covers `patch_pixels` squared;
    it must divide by the patches of every frame size. `frame_sizes` gives (height, width) and how often each comes.
    """

    def __init__(
        self,
        *,
        positions: int,
        patch_pixels: int,
        seed: int,
        frame_sizes: Mapping[tuple[int, int], float] = FRAME_SIZES,
    ) -> None:
        patches = [(height // patch_pixels) * (width // patch_pixels) for height, width in frame_sizes]
        if any(positions % number for number in patches):
            raise ValueError(f"{positions} positions do not divide by {patches}; use a multiple of {lcm(*patches)}")
        self.frame_sizes = dict(frame_sizes)
        self.positions = positions
        self.patch_pixels = patch_pixels
        self.seed = seed

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        rng = random.Random(f"{self.seed}/{worker.id if worker else 0}")
        while True:
            height, width = rng.choices(list(self.frame_sizes), list(self.frame_sizes.values()))[0]
            size = self.positions // ((height // self.patch_pixels) * (width // self.patch_pixels))
            yield make_batch([training_scene(rng) for _ in range(size)], height, width)


def batches(stream: SceneStream, *, num_workers: int) -> Iterator[Batch]:
    """An iterator over `stream` fed by `num_workers` processes (0: this one)."""
    return iter(
        DataLoader(
            stream,
            batch_size=None,
            num_workers=num_workers,
            prefetch_factor=8 if num_workers else None,
            persistent_workers=num_workers > 0,
        )
    )


def make_batch(scenes: list[Scene], height: int, width: int) -> Batch:
    """`scenes` with their captions as ids, on the CPU."""
    token_ids_BN, lengths_B = tokenize([scene.caption for scene in scenes])
    return Batch(
        height=height,
        width=width,
        scenes=scene_tensors(scenes),
        token_ids_BN=token_ids_BN,
        lengths_B=lengths_B,
        facts_BA=torch.tensor([_facts(scene) for scene in scenes]),
    )


def tokenize(captions: list[str]) -> tuple[Tensor, Tensor]:
    """Ids [B, TEXT_TOKENS] as ByT5Tokenizer makes them, and the number of tokens of each caption [B]."""
    ids = torch.full((len(captions), TEXT_TOKENS), PAD_ID)
    lengths = torch.empty(len(captions), dtype=torch.long)
    for row, caption in enumerate(captions):
        tokens = [byte + BYTE_OFFSET for byte in caption.encode()[: TEXT_TOKENS - 1]]
        tokens.append(END_ID)
        ids[row, : len(tokens)] = torch.tensor(tokens)
        lengths[row] = len(tokens)
    return ids, lengths


def _facts(scene: Scene) -> list[int]:
    first, second = scene.first, scene.second
    return [
        list(COLOURS).index(first.colour),
        KINDS.index(first.kind),
        list(DIRECTIONS).index(first.direction),
        SIZES.index(first.size) if first.size else len(SIZES),
        SPEEDS.index(first.speed) if first.speed else len(SPEEDS),
        *_second_facts(second),
        list(BACKGROUNDS).index(scene.background) if scene.background in scene.caption else len(BACKGROUNDS),
    ]


def _second_facts(second: Mover | None) -> tuple[int, int, int]:
    if second is None:
        return len(COLOURS), len(KINDS), len(DIRECTIONS)
    return list(COLOURS).index(second.colour), KINDS.index(second.kind), list(DIRECTIONS).index(second.direction)
