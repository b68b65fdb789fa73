"""What a stopwatch times of the families whose gangs share out frames; how exactly is for the benchmark to print."""

from dataclasses import replace
from pathlib import Path

import pytest

from actors.engine import Engine
from actors.engine.calibrate import Calibrator
from actors.engine.link import Link
from actors.engine.stopwatch import Stopwatch, Timings
from cluster.calibration import assume
from cluster.rate import Timing
from cluster.shape import Shape
from cluster.workload import SiteWork
from pipelines.gpus import find_gpu
from tests.tiny_open_sora import save_tiny_open_sora, save_tiny_open_sora_plan


@pytest.mark.slow
@pytest.mark.parametrize(
    ("save", "shape"),
    [
        (save_tiny_open_sora, Shape(height=144, width=152, num_frames=34)),
        (save_tiny_open_sora_plan, Shape(height=64, width=80, num_frames=17)),
    ],
)
def test_every_part_of_an_open_sora_is_timed_alone_and_as_a_share_of_a_gang(save, shape: Shape, tmp_path: Path) -> None:
    engine = Engine.load(str(save(tmp_path / "model")))
    found = Stopwatch(engine, repeats=1).measure([(shape, 1), (shape, 2)])
    assert set(found.kinds) == {"spatial", "temporal", "cross"}
    for whole, share in (*found.kinds.values(), found.base):
        assert 0 < share.work.flops < whole.work.flops
    # Open-Sora-Plan's few frames are one tile, which a rank decodes alone.
    whole, share = found.decode
    assert 0 < share.work.flops <= whole.work.flops


def test_a_kind_that_the_model_lacks_is_as_assumed(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.engine.calibrate.measure_link", lambda *_: Link(latency_s=0.0, bytes_per_s=1.0))
    engine, gpu = Engine.load(str(tiny_model)), find_gpu("cpu")
    assert "temporal" in engine.card.kinds
    numbers = replace(engine.card.numbers, sites=("spatial", "mlp", "temporal", "mlp"))
    engine.card = replace(engine.card, numbers=numbers)
    calibrator = Calibrator(engine, [(Shape(height=32, width=32, num_frames=16), 1)], gpu)
    calibrator.measure()
    found = calibrator.calibration()
    assert found.cross == assume(gpu, 4).cross
    assert found.spatial != assume(gpu, 4).spatial


def test_the_median_of_several_rounds_is_taken_figure_by_figure() -> None:
    def timings(base_s: float, text_s: float) -> Timings:
        timing = Timing(work=SiteWork(projections=7), seconds=base_s)
        return Timings(kinds={"cross": [timing]}, base=[timing, timing], decode=[timing], text_s=text_s)

    found = Timings.median([timings(1.0, 9.0), timings(5.0, 2.0), timings(2.0, 3.0)])
    middle = Timing(work=SiteWork(projections=7), seconds=2.0)
    assert found == Timings(kinds={"cross": [middle]}, base=[middle, middle], decode=[middle], text_s=3.0)
