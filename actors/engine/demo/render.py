"""Draws scenes as videos, batched, on any device.

Shapes: B scenes, T frames, H and W pixels, O = 2 objects (absent ones have radius 0).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from actors.engine.demo.scenes import Mover, Scene
from actors.engine.demo.vocabulary import BACKGROUNDS, COLOURS, DIRECTIONS, KINDS, NUM_FRAMES


@dataclass(frozen=True, kw_only=True)
class SceneTensors:
    """Scenes as numbers, ready to be drawn."""

    geometry_BO6: Tensor
    """Radius, travel, middle, offset, direction x, direction y."""
    kind_BO: Tensor
    colour_BO3: Tensor
    """RGB, 0 to 1."""
    background_B3: Tensor

    def to(self, device: torch.device) -> "SceneTensors":
        """The same tensors on `device`."""
        return SceneTensors(
            geometry_BO6=self.geometry_BO6.to(device, non_blocking=True),
            kind_BO=self.kind_BO.to(device, non_blocking=True),
            colour_BO3=self.colour_BO3.to(device, non_blocking=True),
            background_B3=self.background_B3.to(device, non_blocking=True),
        )


def scene_tensors(scenes: Sequence[Scene]) -> SceneTensors:
    """The numbers of `scenes`, on the CPU."""
    movers = [(scene.first, scene.second) for scene in scenes]
    return SceneTensors(
        geometry_BO6=torch.tensor([[_geometry(mover) for mover in pair] for pair in movers]),
        kind_BO=torch.tensor([[KINDS.index(mover.kind) if mover else 0 for mover in pair] for pair in movers]),
        colour_BO3=torch.tensor(
            [[COLOURS[mover.colour] if mover else (0.0, 0.0, 0.0) for mover in pair] for pair in movers]
        ),
        background_B3=torch.tensor([BACKGROUNDS[scene.background] for scene in scenes]),
    )


def _geometry(mover: Mover | None) -> tuple[float, ...]:
    if mover is None:
        return (0.0, 0.0, 0.5, 0.5, 1.0, 0.0)
    x, y = DIRECTIONS[mover.direction]
    return (mover.radius, mover.travel, mover.middle, mover.offset, float(x), float(y))


def render(scenes: SceneTensors, height: int, width: int, times_BT: Tensor | None = None) -> Tensor:
    """Videos [B, T, 3, H, W] in [-1, 1].

    `times_BT` holds each frame's moment, 0 (first frame) to 1 (last); by default NUM_FRAMES even ones.
    """
    device = scenes.geometry_BO6.device
    num_scenes = scenes.geometry_BO6.shape[0]
    if times_BT is None:
        times_BT = torch.linspace(0, 1, NUM_FRAMES, device=device).expand(num_scenes, -1)
    y_H1 = (torch.arange(height, device=device) + 0.5)[:, None]
    x_1W = (torch.arange(width, device=device) + 0.5)[None, :]
    image = scenes.background_B3[:, None, :, None, None].expand(-1, times_BT.shape[1], -1, height, width)
    for index in (1, 0):  # the first object is drawn last, so it is the one in front
        geometry_B6 = scenes.geometry_BO6[:, index]
        x_BT, y_BT = _positions(geometry_B6, times_BT)
        dx = x_1W - (x_BT * width)[..., None, None]
        dy = y_H1 - (y_BT * height)[..., None, None]
        radius = (geometry_B6[:, 0] * min(height, width))[:, None, None, None]
        cover = (0.5 - _distance(dx, dy, radius, scenes.kind_BO[:, index])).clamp(0, 1)
        cover = (cover * (radius > 0))[:, :, None]
        colour = scenes.colour_BO3[:, index][:, None, :, None, None]
        image = image + cover * (colour - image)
    return image * 2 - 1


def _positions(geometry_B6: Tensor, times_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Centres (x, y) over time as fractions of the width and of the height."""
    _, travel, middle, offset, x, y = (column[:, None] for column in geometry_B6.unbind(1))
    along = travel * (times_BT - 0.5)
    return (
        torch.where(x != 0, middle + x * along, offset),
        torch.where(y != 0, middle + y * along, offset),
    )


def _distance(dx: Tensor, dy: Tensor, radius: Tensor, kind_B: Tensor) -> Tensor:
    """Signed distance in pixels to each object's edge, negative inside: [B, T, H, W]."""
    kind = kind_B[:, None, None, None]
    centre = (dx**2 + dy**2).sqrt()
    circle = centre - radius
    square = torch.maximum(dx.abs(), dy.abs()) - radius * 0.88
    triangle = torch.maximum(dy - radius * 0.8, dx.abs() * 0.866 - (dy + radius * 1.1) * 0.5)
    ring = (centre - radius * 0.75).abs() - radius * 0.3
    distances = dict(zip(KINDS, (circle, square, triangle, ring), strict=True))
    result = circle
    for index, name in enumerate(KINDS):
        result = torch.where(kind == index, distances[name], result)
    return result
