"""`_pabcast/run.yaml` read back: the config of the last run, and with what it was made."""

import re
from dataclasses import dataclass, field
from typing import Self

from pipelines.run_file import RUN_FILE
from pipelines.store import NotFound, Store

_LONGEST = 100_000
_COMMENT = re.compile(r"^#\s+([\w.-]+): (.+)$")


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What the file says."""

    versions: dict[str, str] = field(default_factory=dict)
    """Of packages, by name."""
    config: str = ""
    """The resolved config, as YAML; empty if there is no such file."""

    @classmethod
    def read(cls, store: Store) -> Self:
        """The record of the dataset in `store`; an empty one if it has none."""
        try:
            text = store.get(RUN_FILE)[:_LONGEST].decode("utf-8", "replace")
        except NotFound:
            return cls()
        lines = text.splitlines()
        head = [match for line in lines if (match := _COMMENT.match(line))]
        versions = {match[1]: match[2] for match in head if match[1] != "model_revision"}
        return cls(versions=versions, config="\n".join(line for line in lines if not line.startswith("#")))

    @property
    def is_on_cpus(self) -> bool:
        """Whether its workers were CPUs, as far as the file tells."""
        said = re.search(r"^  device: (\w+)$", self.config, re.MULTILINE)
        device = said[1] if said else "auto"
        return device == "cpu" or (device == "auto" and self.versions.get("torch", "").endswith("+cpu"))
