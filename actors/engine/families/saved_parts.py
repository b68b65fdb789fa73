"""Parts of a pipeline as diffusers and transformers save them, taken only if file and class agree on the weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedModel

from actors.engine.keys import spell_faults
from actors.engine.part_errors import told_of
from actors.engine.sampling_times import load_scheduler
from cluster.errors import ConfigError

_WEIGHTS = ("weight", "bias", "table", "gamma", "beta", "lora_A", "lora_B")
"""How the names of parameters end; a file's other names are of buffers that a class may have kept no more."""
_HALF_NOT_READ = ("decoder.", "lm_head.")
"""What the keys of a whole T5 begin with that its encoder has not."""
_SOME_TEXT = "a red circle moving left"


def load_pipeline(
    pipeline: Any,
    path: str,
    parts: Mapping[str, Any],
    dtypes: Mapping[str, torch.dtype],
) -> Any:
    """A `pipeline` of diffusers from the folder `path`, its `parts` (class by folder) each in its dtype.

    Raises:
        ConfigError: a weight is missing, unexpected or of another shape; a scheduler or a tokenizer that cannot be
            used; a part that the libraries cannot read.
    """
    folder = Path(path)
    loaded = {name: load_part(kind, folder / name, dtypes[name]) for name, kind in parts.items()}
    scheduler = load_scheduler(folder, pipeline.__name__)
    tokens = folder / "tokenizer"
    if not tokens.is_dir():
        raise ConfigError(f"{folder} has no folder tokenizer; save the whole pipeline there again")
    with told_of(tokens):
        made = pipeline.from_pretrained(path, local_files_only=True, scheduler=scheduler, **loaded)
        _check_vocabulary(tokens, made.tokenizer)
    return made


def load_part(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """The model of class `kind` in `folder`; raises as `load_pipeline`."""
    with told_of(folder):
        model, found = kind.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            # Those of another shape are then told by their keys, as the missing ones are.
            ignore_mismatched_sizes=True,
        )
    parameters = dict(model.named_parameters())
    unread = _HALF_NOT_READ if issubclass(kind, PreTrainedModel) else ()
    unexpected = [key for key in found["unexpected_keys"] if not key.startswith(unread)]
    faults = spell_faults(
        {
            "missing": [key for key in found["missing_keys"] if key in parameters],
            "unexpected": [key for key in unexpected if key.rpartition(".")[2].endswith(_WEIGHTS)],
            "of another shape": [
                f"{key} {tuple(got)} instead of {tuple(wanted)}" for key, got, wanted in found["mismatched_keys"]
            ],
        }
    )
    if faults:
        raise ConfigError(f"the weights in {folder} are not those that its config.json describes; keys {faults}")
    return model


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in `folder`; `ConfigError` if it has no vocabulary or cannot be read."""
    with told_of(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        _check_vocabulary(folder, tokenizer)
    return tokenizer


def _check_vocabulary(folder: Path, tokenizer: Any) -> None:
    """Raise `ConfigError` if the tokenizer knows next to nothing of a plain text, as one without its files does."""
    tokens = tokenizer(_SOME_TEXT, add_special_tokens=False).input_ids
    if 2 * tokens.count(tokenizer.unk_token_id) >= len(tokens):
        raise ConfigError(
            f"{folder} has no vocabulary, so that every prompt would be the same; the tokenizer.json, spiece.model or "
            "the like that the text encoder was trained with must be in it"
        )
