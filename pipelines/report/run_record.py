"""`_pabcast/run.yaml` read back: the config of the last run, and with what it was made."""

import re
from dataclasses import dataclass, field
from typing import Self

from cluster.errors import StoreError
from pipelines.report.file_problem import file_problem
from pipelines.report.masks import NotYaml, is_secret, masked_text, masked_yaml
from pipelines.run_file import RUN_FILE
from pipelines.store import NotFound, Outside, Store

LONGEST_BYTES = 100_000
_COMMENT = re.compile(r"^#\s+(?P<package>[\w.-]{1,40}): (?P<number>not installed|\d[\w.+!-]{0,60})$")


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What the file says."""

    versions: dict[str, str] = field(default_factory=dict)
    """Of packages, by name."""
    config: str = ""
    """The resolved config, as YAML, its secrets masked; empty if there is none to show."""
    problem: str = ""
    """Why there is none, in a sentence."""

    @classmethod
    def read(cls, store: Store) -> Self:
        """The record of the dataset in `store`; one with a `problem` if it has none, or none that can be shown."""
        try:
            with store.open(RUN_FILE) as file:
                data = file.read(LONGEST_BYTES + 1)
        except NotFound:
            return cls(problem=f"There is no {RUN_FILE}, which would say.")
        except Outside as outside:
            return cls(problem=f"{RUN_FILE}, which would say, {outside}.")
        except (StoreError, OSError) as error:
            return cls(problem=f"{RUN_FILE}, which would say, cannot be read: {file_problem(error)}.")
        return cls._understood(data)

    @classmethod
    def _understood(cls, data: bytes) -> Self:
        if len(data) > LONGEST_BYTES:
            return cls(problem=f"{RUN_FILE}, which would say, has more than {LONGEST_BYTES:,} bytes, and is not shown.")
        try:
            lines = data.decode().splitlines()
        except UnicodeDecodeError:
            return cls(problem=f"{RUN_FILE}, which would say, is no text in UTF-8.")
        versions = {found[1]: found[2] for line in lines if (found := _COMMENT.match(line)) and not is_secret(found[1])}
        versions.pop("model_revision", None)
        try:
            config = masked_yaml("\n".join(line for line in lines if not line.startswith("#")))
        except NotYaml as error:
            return cls(
                versions=versions, problem=f"{RUN_FILE} is no YAML, and is not shown: {masked_text(str(error))}."
            )
        problem = "" if config.strip() else f"{RUN_FILE} holds no config."
        return cls(versions=versions, config=config, problem=problem)

    @property
    def is_on_cpus(self) -> bool:
        """Whether its workers were CPUs, as far as the file tells."""
        said = re.search(r"^  device: (\w+)$", self.config, re.MULTILINE)
        device = said[1] if said else "auto"
        return device == "cpu" or (device == "auto" and self.versions.get("torch", "").endswith("+cpu"))
