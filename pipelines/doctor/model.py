"""The model that is wanted, or the one that comes along."""

from pathlib import Path

from cluster.errors import ConfigError
from pipelines.commands.output import spell_bytes
from pipelines.doctor.finding import Finding, failed, failed_by, ok
from pipelines.doctor.wanted import Wanted
from pipelines.job_check import check_settings
from pipelines.models import KnownModel, find_model, read_whole_card

BUNDLED = "demo"


def look_at_model(wanted: Wanted) -> list[Finding]:
    """The line `model`: its files are whole, and a config's settings suit it."""
    try:
        model = _model(wanted)
        if wanted.config:
            check_settings(wanted.config)
        else:
            read_whole_card(model)
    except ConfigError as error:
        return [failed_by("model", error)]
    return [_open_weights(model)]


def weights_bytes(wanted: Wanted) -> int:
    """How large its weights are, as files."""
    return sum(file.stat().st_size for file in _weights(_model(wanted)))


def _model(wanted: Wanted) -> KnownModel:
    return wanted.config.model if wanted.config else find_model(BUNDLED)


def _weights(model: KnownModel) -> list[Path]:
    return sorted(model.folder.glob("*/*.safetensors"))


def _open_weights(model: KnownModel) -> Finding:
    """safetensors holds the length of a file against its header as it opens it."""
    from safetensors import SafetensorError, safe_open

    tensors, size = 0, 0
    for file in _weights(model):
        try:
            with safe_open(file, "np") as weights:
                tensors += len(weights.keys())
        except (SafetensorError, OSError) as error:
            return failed("model", f"{file} cannot be read: {error}", "fetch or save it again")
        size += file.stat().st_size
    return ok("model", f"{model.id}: {tensors} tensors, {spell_bytes(size)}")
