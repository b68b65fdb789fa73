"""What `pabcast schedule` refuses before it computes anything."""

from pathlib import Path

import pytest

from cluster.errors import ConfigError, StoreError
from pipelines.commands.schedule import schedule


@pytest.mark.parametrize(
    ("plot", "sentence"),
    [("pictures", r"suffixes \.png"), ("folder.png", "is a folder; a file"), ("x.txt", r"suffixes \.png")],
)
def test_a_plot_that_is_no_picture_is_told_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], plot: str, sentence: str
) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ConfigError, match=sentence):
        schedule(plot=tmp_path / plot)
    assert capsys.readouterr().out == ""


def test_a_plot_that_cannot_be_written_is_told_first(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StoreError, match=r"^--plot /proc/nowhere/x[.]png cannot be written"):
        schedule(plot=Path("/proc/nowhere/x.png"))
    assert capsys.readouterr().out == ""


def test_steps_that_the_sampler_cannot_take_are_bad_usage() -> None:
    with pytest.raises(ConfigError, match="steps is 3; the model's sampler, PNDM, takes 4 or more"):
        schedule(model="open-sora-plan-1.1", steps=3)
