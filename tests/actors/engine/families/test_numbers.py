"""What a model's numbers say of precisions and of decoding is what its family does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from actors.engine import Engine
from actors.engine.guidance import GuidedDenoiser
from actors.engine.peers import Peers
from cluster.pab import PabConfig
from cluster.schedule import BroadcastSchedule
from cluster.shape import Shape
from tests.tiny_joint_models import save_tiny_cogvideox, save_tiny_wan
from tests.tiny_model import save_tiny_model
from tests.tiny_open_sora import save_tiny_open_sora, save_tiny_open_sora_plan

SHAPES = {
    "latte": Shape(height=32, width=48, num_frames=4),
    "cogvideox": Shape(height=48, width=80, num_frames=9),
    "wan": Shape(height=48, width=80, num_frames=9),
    "open-sora": Shape(height=144, width=152, num_frames=51),
    "open-sora-plan": Shape(height=64, width=80, num_frames=17),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "latte": save_tiny_model(folder / "latte"),
        "cogvideox": save_tiny_cogvideox(folder / "cogvideox", rotary=False),
        "wan": save_tiny_wan(folder / "wan"),
        "open-sora": save_tiny_open_sora(folder / "open-sora"),
        "open-sora-plan": save_tiny_open_sora_plan(folder / "plan"),
    }


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def latents(engine: Engine, shape: Shape) -> torch.Tensor:
    return engine.model.noise(engine.card.numbers.latent_size(shape), seed=0)


@pytest.mark.parametrize("family", SHAPES)
def test_latents_predictions_and_the_vae_have_the_bytes_that_the_numbers_say(
    models: dict[str, Path], family: str
) -> None:
    engine, shape = Engine.load(str(models[family]), dtype="bfloat16"), SHAPES[family]
    numbers, model = engine.card.numbers, engine.model
    noise = latents(engine, shape)
    assert noise.itemsize == (numbers.latent_bytes or 2)
    assert model.parts.vae.dtype.itemsize == (numbers.vae.element_bytes or 2)
    schedule = BroadcastSchedule.build(PabConfig(), [500])
    guided = GuidedDenoiser.build(
        model.denoiser(shape, fps=8), *model.encode("a cat", ""), 4.0, schedule, "batched", in_float32=False
    )
    parallel = guided.share_out(noise)
    for prediction in guided.predictions(parallel.share(noise), torch.tensor(500), 0, parallel):
        assert prediction.itemsize == (numbers.prediction_bytes or 2)


@pytest.mark.parametrize("family", ["latte", "open-sora", "open-sora-plan"])
def test_rank_0_of_two_decodes_what_the_numbers_say(models: dict[str, Path], family: str) -> None:
    """Of the families whose ranks decode without each other."""
    engine, shape = Engine.load(str(models[family])), SHAPES[family]
    vae, noise = engine.card.numbers.vae, latents(engine, shape)
    first_of_two = Peers()
    first_of_two.width = 2
    frames, first = engine.model.decode(noise, first_of_two)
    share = vae.rank_frames(noise.shape[2], 2)
    assert first == 0
    if share == noise.shape[2]:
        assert len(frames) == shape.num_frames
    else:
        assert len(frames) * vae.latent_group == share * vae.frame_group
