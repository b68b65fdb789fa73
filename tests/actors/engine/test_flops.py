"""The forecast of operations against torch's own count, on the bundled model."""

import pytest
from torch.utils.flop_counter import FlopCounterMode

from actors.engine import Engine, VideoRequest, timesteps
from cluster.pab import PabConfig
from cluster.schedule import BroadcastSchedule
from cluster.workload import Workload

PROMPT = "a red circle moving left"
CORES = ("spatial", "temporal", "cross")


@pytest.mark.parametrize("pab", [PabConfig(), PabConfig(spatial=2, temporal=4, cross=6, timesteps=(100, 800))])
def test_the_forecast_counts_every_matrix_product_and_convolution_that_torch_counts(demo_model, pab):
    engine = Engine.load(str(demo_model))
    request = VideoRequest(
        prompt=PROMPT,
        height=96,
        width=64,
        num_frames=16,
        steps=6,
        guidance_scale=4.0,
        model="demo",
        model_revision=engine.card.revision,
        pab=pab,
    )
    with FlopCounterMode(display=False) as counter:
        engine.generate(request)
    workload = Workload(
        numbers=engine.card.numbers,
        shape=request.shape,
        schedule=BroadcastSchedule.build(pab, timesteps(demo_model, request.steps, request.shape)),
        element_bytes=4,
        prompt_tokens=len(PROMPT) + 1,
    )
    # torch does not count softmax(QK)V on the CPU.
    forecast = sum(count for part, count in workload.flops().items() if part not in CORES)
    assert counter.get_total_flops() == forecast
