"""`_pabcast/run.yaml`: the resolved config of the last run, and with what it was made."""

import importlib.metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.job_check import CheckedJob

RUN_FILE = "_pabcast/run.yaml"
_NAMES = ("pabcast", "ray", "torch", "diffusers", "transformers", "av", "pyarrow")


def write_run_file(job: "CheckedJob") -> None:
    """Write it into the output; `pabcast run` takes it as a config, so the versions are comments."""
    versions = "".join(f"#   {name}: {_version(name)}\n" for name in _NAMES)
    text = f"# model_revision: {job.card.revision}\n# versions:\n{versions}{job.config.to_yaml()}"
    job.store.put(RUN_FILE, text.encode(), "application/yaml")


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
