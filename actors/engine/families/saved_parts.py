"""Parts of a pipeline as diffusers and transformers save them, taken only if file and class agree on the weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from actors.engine.keys import spell_faults
from actors.engine.sampling_times import load_scheduler
from cluster.errors import ConfigError

_WEIGHTS = ("weight", "bias", "table")
"""How the names of parameters end; a file's other names are of buffers that a class may have kept no more."""


def load_pipeline(
    pipeline: Any,
    path: str,
    parts: Mapping[str, Any],
    dtypes: Mapping[str, torch.dtype],
) -> Any:
    """A `pipeline` of diffusers from the folder `path`, its `parts` (class by folder) each in its dtype.

    Raises:
        ConfigError: a weight is missing, unexpected or of another shape; a scheduler that cannot be used.
        OSError, ValueError: what the libraries cannot read.
    """
    folder = Path(path)
    loaded = {name: load_part(kind, folder / name, dtypes[name]) for name, kind in parts.items()}
    scheduler = load_scheduler(folder, pipeline.__name__)
    return pipeline.from_pretrained(path, local_files_only=True, scheduler=scheduler, **loaded)


def load_part(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """The model of class `kind` in `folder`; raises as `load_pipeline`."""
    model, found = kind.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    parameters = dict(model.named_parameters())
    faults = spell_faults(
        {
            "missing": [key for key in found["missing_keys"] if key in parameters],
            "unexpected": [key for key in found["unexpected_keys"] if key.rpartition(".")[2].endswith(_WEIGHTS)],
            "of another shape": [str(key) for key in found["mismatched_keys"]],
        }
    )
    if faults:
        raise ConfigError(f"the weights in {folder} are not those that its config.json describes; keys {faults}")
    return model
