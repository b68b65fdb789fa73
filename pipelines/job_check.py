"""What of a job can be known to fail before anything is started."""

from dataclasses import dataclass

from actors.engine import ModelCard, inspect_model
from cluster.errors import ConfigError, RequestError
from cluster.shape import Shape
from pipelines.config import JobConfig
from pipelines.prompts import InputInfo, check_input
from pipelines.rows import RowDefaults, check_shape
from pipelines.store import ProbeResult, Store, open_store, probe


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
        config = self.config
        return RowDefaults(
            sampling=config.sampling,
            model=config.model.id,
            model_revision=self.card.revision,
            pab=config.pab,
            numbers=self.card.numbers,
            gang=config.gang,
        )


def check_job(config: JobConfig) -> CheckedJob:
    """Look at the model, the input and the output; nothing is started, and only the probe writes.

    Raises:
        ConfigError: a model, an input, a size or a gang's width that cannot work.
        StoreError: the input or the output store cannot be used; told within 15 s.
    """
    card = inspect_model(config.model.folder)
    sampling = config.sampling
    shape = Shape(height=sampling.height, width=sampling.width, num_frames=sampling.num_frames)
    try:
        check_shape(shape, card.numbers, config.gang)
    except RequestError as error:
        raise ConfigError(f"sampling: {error}") from error
    if config.pab.mlp is not None:
        _check_blocks(config.pab.mlp.blocks, card.numbers.num_layers)
    found = check_input(config.input.path)
    store = open_store(config.output.uri)
    return CheckedJob(config=config, card=card, input=found, store=store, probe=probe(store))


def _check_blocks(blocks: tuple[int, ...], num_layers: int) -> None:
    beyond = [block for block in blocks if block >= num_layers]
    if beyond:
        raise ConfigError(f"pab.mlp.blocks has {beyond[0]}; the model's layers are 0 to {num_layers - 1}")
