"""Loads a model of whatever family its card says."""

from importlib import import_module

import torch

from actors.engine.blocks import Blocks
from actors.engine.card import ModelCard, check_weights
from actors.engine.families.family import Family

FAMILIES = {
    "CogVideoXPipeline": "actors.engine.families.cogvideox:CogVideoX",
    "LattePipeline": "actors.engine.families.latte:Latte",
    "OpenSoraPipeline": "actors.engine.families.open_sora:OpenSora",
    "OpenSoraPlanPipeline": "actors.engine.families.open_sora_plan:OpenSoraPlan",
    "WanPipeline": "actors.engine.families.wan:Wan",
}
"""Where the family of a pipeline is; a module is imported only when a model of its family is loaded."""


def load_family(card: ModelCard, device: str, dtype: torch.dtype, blocks: Blocks) -> Family:
    """The model of `card`, whose blocks `blocks` runs; `ConfigError` if its files do not fit it."""
    check_weights(card)
    module, _, name = FAMILIES[card.pipeline].partition(":")
    family: type[Family] = getattr(import_module(module), name)
    return family.load(card.path, device, dtype, blocks)
