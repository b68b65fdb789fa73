"""What a person may write for `pab`."""

from pathlib import Path

import pytest

from cluster.errors import ConfigError
from cluster.pab import MlpReuse, PabConfig
from pipelines.pab_text import presets, read_pab


@pytest.mark.parametrize("value", [None, False, "off", {}, {"spatial": 1}])
def test_off_has_many_spellings(value: object) -> None:
    assert read_pab(value).is_off


def test_presets_are_the_papers_ranges_in_lattes_window() -> None:
    for name in ("pab235", "pab246", "pab357", "pab579"):
        spatial, temporal, cross = (int(digit) for digit in name.removeprefix("pab"))
        wanted = PabConfig(spatial=spatial, temporal=temporal, cross=cross, timesteps=(100, 800))
        assert read_pab(name) == wanted
    assert read_pab("off") == PabConfig()
    assert set(presets()) >= {"off", "pab235", "pab246", "pab357", "pab579"}


def test_a_models_own_preset_is_what_the_authors_ship_for_it() -> None:
    assert read_pab("cogvideox") == PabConfig(spatial=2, timesteps=(100, 850))
    assert read_pab("wan") == PabConfig(spatial=2, cross=6, timesteps=(100, 800))
    reuse = MlpReuse(blocks=(0, 1, 2, 3, 4), starts=(864, 788, 676), steps=2)
    assert read_pab("open-sora") == PabConfig(spatial=2, temporal=4, cross=6, timesteps=(450, 930), mlp=reuse)


def test_one_line_of_text_gives_ranges_and_a_window() -> None:
    assert read_pab("spatial=2,temporal=3,cross=6,timesteps=100:800") == PabConfig(
        spatial=2, temporal=3, cross=6, timesteps=(100, 800)
    )
    assert read_pab("temporal=3, window=0.15:0.85") == PabConfig(temporal=3, window=(0.15, 0.85))


def test_mlp_reuse_can_be_written_in_one_line() -> None:
    assert read_pab("mlp=0+1@720+640x2").mlp == MlpReuse(blocks=(0, 1), starts=(720, 640), steps=2)


@pytest.mark.parametrize(
    "config",
    [
        PabConfig(),
        PabConfig(spatial=2, temporal=4, cross=6, timesteps=(100, 800)),
        PabConfig(temporal=5, window=(0.125, 1)),
        PabConfig(temporal=5, window=(1e-7, 0.5)),
        PabConfig(spatial=10**12, timesteps=(-1e-5, 1e6)),
        PabConfig(mlp=MlpReuse(blocks=(0, 3), starts=(864.5, 788), steps=2)),
        PabConfig(mlp=MlpReuse(blocks=(0,), starts=(), steps=2)),
        PabConfig(mlp=MlpReuse(blocks=(), starts=(0.5,), steps=2)),
        PabConfig(mlp=MlpReuse(blocks=(0,), starts=(1e-5, 1e-300, 999.9999999, 720, 0), steps=2)),
    ],
)
def test_a_configs_own_text_is_read_back(config: PabConfig) -> None:
    assert read_pab(config.text()) == config


def test_a_file_holds_the_same_keys(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("spatial: 3\ntimesteps: '200:700'\nmlp: {blocks: [1], starts: [500], steps: 1}\n")
    assert read_pab(str(file)) == PabConfig(
        spatial=3, timesteps=(200, 700), mlp=MlpReuse(blocks=(1,), starts=(500,), steps=1)
    )


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("pab24", "did you mean pab246"),
        (7, "pab is 7; off, a preset, a file"),
        ("spatial=two", "pab.spatial is 'two'; a whole number is wanted"),
        ("spatial=0", "pab.spatial is 0; a range is 1"),
        ("spatial=2,spatial=3", "spatial twice"),
        ("spatial=2,temporal", "'temporal'; key=value is wanted"),
        ("timesteps=800", "two numbers are wanted"),
        ("timesteps=800:100", "the first must be smaller"),
        ("timesteps=nan:100", "a list of 2"),
        ("window=0.2:1.5", "0 <= start < end <= 1"),
        ("timesteps=1:2,window=0:1", "give one of them"),
        ("mlp=all", "blocks @ timesteps x steps"),
        ("spacial=2", "the nearest known one is pab.spatial"),
        ("none.yaml", "cannot be read"),
        ({"spatial": "2"}, "pab.spatial is '2'; a whole number is wanted"),
        ({"timesteps": [1, 2, 3]}, "pab.timesteps is [1, 2, 3]"),
    ],
)
def test_nonsense_is_one_sentence(value: object, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_pab(value)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)
