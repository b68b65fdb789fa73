import pytest

from cluster.errors import ConfigError
from cluster.pab import MlpReuse, PabConfig


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"spatial": 0}, "pab.spatial is 0; a range is 1"),
        ({"cross": -2}, "pab.cross is -2"),
        ({"timesteps": (800, 100)}, "800:100; the first must be smaller"),
        ({"timesteps": (2000, 3000)}, "2000:3000; timesteps are from 1000 down to 0"),
        ({"timesteps": (-5, 0)}, "-5:0; timesteps are from 1000 down to 0"),
        ({"window": (0.9, 0.1)}, "0 <= start < end <= 1"),
        ({"window": (0.0, 1.5)}, "0 <= start < end <= 1"),
        ({"window": (0.1, 0.9), "timesteps": (100, 800)}, "give one of them"),
    ],
)
def test_a_nonsense_config_is_refused_in_one_sentence(fields, message):
    with pytest.raises(ConfigError, match=message):
        PabConfig(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0}, "pab.mlp.steps is 0"),
        ({"blocks": (-1,)}, "start at 0"),
        ({"starts": (700, 5000)}, "pab.mlp.starts has 5000; timesteps are from 1000 down to 0"),
    ],
)
def test_nonsense_mlp_reuse_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        MlpReuse(**({"blocks": (0,), "starts": (500,), "steps": 2} | fields))


def test_configs_that_never_broadcast_are_all_off():
    assert PabConfig(timesteps=(100, 800)).text() == PabConfig().text() == "off"
    assert not PabConfig(cross=2).is_off


def test_the_text_names_everything_that_matters():
    reuse = MlpReuse(blocks=(0, 1), starts=(720, 640), steps=2)
    pab = PabConfig(spatial=2, temporal=3, cross=6, timesteps=(100, 800), mlp=reuse)
    assert pab.text() == "spatial=2,temporal=3,cross=6,timesteps=100:800,mlp=0+1@720+640x2"


def test_configs_that_differ_a_little_have_different_texts():
    one, other = PabConfig(spatial=2, timesteps=(248.9999999, 800)), PabConfig(spatial=2, timesteps=(249, 800))
    assert one.text() == "spatial=2,temporal=1,cross=1,timesteps=248.9999999:800"
    assert other.text() == "spatial=2,temporal=1,cross=1,timesteps=249:800"
