"""What of a job can be known to fail before anything is started."""

from dataclasses import dataclass

from actors.engine import ModelCard
from cluster.errors import ConfigError, RequestError
from cluster.guidance import branches_of
from pipelines.config import JobConfig, VideoConfig
from pipelines.local_room import check_room
from pipelines.metadata import METADATA_KEY
from pipelines.models import read_whole_card
from pipelines.pab_text import check_blocks
from pipelines.prompts import InputInfo, check_input
from pipelines.rows import RowDefaults, check_shape
from pipelines.run_file import RUN_FILE
from pipelines.store import LocalStore, ProbeResult, S3Store, Store, open_store, probe


@dataclass(frozen=True, kw_only=True)
class CheckedJob:
    """A job whose model, input and output are there."""

    config: JobConfig
    card: ModelCard
    input: InputInfo
    store: Store
    probe: ProbeResult

    @property
    def defaults(self) -> RowDefaults:
        """What its rows do not say."""
        return RowDefaults.of(self.config, self.card.numbers, self.card.revision)


def check_job(config: JobConfig) -> CheckedJob:
    """Look at the model, the input and the output; nothing is started, and only the probe writes.

    Raises:
        ConfigError: a model, an input, a size, a gang's width or a number of workers that cannot work.
        StoreError: the input or the output store cannot be used; told within 15 s.
    """
    card = check_settings(config)
    check_room(config.cluster, card.path)
    store = open_store(config.output.uri, "output.uri")
    _check_apart(open_store(config.input.path, "input.path"), store)
    found = check_input(config.input.path)
    result = probe(store)
    _check_ours(store)
    return CheckedJob(config=config, card=card, input=found, store=store, probe=result)


def check_settings(config: VideoConfig) -> ModelCard:
    """The card of a config's model, whose files are whole and whose numbers the config's settings suit.

    Raises:
        ConfigError: a model, a size, a PAB or a gang's width that cannot work.
    """
    config.gang.check_workers(config.cluster.widest_of_a_job)
    card = read_whole_card(config.model)
    sampling = config.sampling
    try:
        check_shape(sampling.shape, branches_of(sampling.guidance_scale), RowDefaults.of(config, card.numbers))
    except RequestError as error:
        raise ConfigError(f"sampling: {error}") from error
    check_blocks(config.pab, card.numbers.num_layers)
    return card


def _check_ours(output: Store) -> None:
    """Another dataset's metadata would be written over."""
    if output.stat(METADATA_KEY) and not output.stat(RUN_FILE):
        raise ConfigError(
            f"output.uri {output.uri} holds a {METADATA_KEY} that pabcast did not write, as there is no {RUN_FILE}; "
            "give a place of its own, or move that file away"
        )


def _check_apart(source: Store, output: Store) -> None:
    """Results that lie among the prompts would be read as prompts by the next run."""
    there, here = _steps(source), _steps(output)
    if there[: len(here)] != here[: len(there)]:
        return
    relation = "is the same as" if there == here else "is inside" if len(here) > len(there) else "holds"
    raise ConfigError(
        f"output.uri {output.uri} {relation} input.path {source.uri}, and results must not mix with prompts; "
        "give two places of which neither is inside the other"
    )


def _steps(store: Store) -> tuple[str, ...]:
    """The folders on the way to a store."""
    if isinstance(store, LocalStore):
        return store.root.resolve().parts
    if isinstance(store, S3Store):
        return ("s3:", store.bucket, *store.prefix.split("/")) if store.prefix else ("s3:", store.bucket)
    raise TypeError(f"{store!r} has no known place")
