"""A job's config: what loads, and the sentence for what does not."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cluster.errors import ConfigError
from pipelines.config import JobConfig, load_config, make_config
from pipelines.places import ROOT


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """All that a config asks of a model's folder."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")
    return folder


@pytest.fixture
def config_file(tmp_path: Path, model_folder: Path) -> str:
    file = tmp_path / "job.yaml"
    file.write_text(f"model: {model_folder}\ninput: {{path: prompts.txt}}\noutput: {{uri: out}}\n")
    return str(file)


def load(file: str, *overrides: str) -> JobConfig:
    return load_config(file, overrides)


def test_overrides_win_over_the_file(config_file: str) -> None:
    config = load(config_file, "sampling.steps=7", "cluster.workers=2", "gang.width=2", "output.uri=s3://b/p")
    assert (config.sampling.steps, config.gang.width, config.output.uri) == (7, 2, "s3://b/p")


def test_pab_is_off_unless_it_is_asked_for(config_file: str) -> None:
    assert load(config_file).pab.is_off
    assert load(config_file, "pab=off").pab.is_off
    assert load(config_file, "pab=pab246").pab.temporal == 4


def test_the_bound_on_videos_in_flight_follows_the_workers(config_file: str) -> None:
    assert load(config_file, "cluster.workers=3").videos_in_flight == 8
    assert load(config_file, "flight=1").videos_in_flight == 1


@pytest.mark.parametrize(
    ("overrides", "limit_s"),
    [
        ((), 120),
        (("cluster.step_timeout_s=null",), 120),
        (("cluster.compile=true",), 900),
        (("cluster.compile=true", "cluster.step_timeout_s=300"), 300),
    ],
)
def test_a_compiling_step_is_not_hung_so_soon(config_file: str, overrides: tuple[str, ...], limit_s: float) -> None:
    assert load(config_file, *overrides).cluster.pool_spec("m").step_limit_s == limit_s


def test_a_table_that_is_null_is_no_table(config_file: str) -> None:
    config = load(config_file, "gang.width=auto", "gang.table=null")
    assert config.gang.table == ()
    assert config.gang.is_by_cost


def test_environment_variables_are_read(config_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUCKET", "videos")
    assert load(config_file, "output.uri=s3://${oc.env:BUCKET}/x").output.uri == "s3://videos/x"


def test_the_resolved_config_loads_again(config_file: str, tmp_path: Path) -> None:
    config = load(
        config_file,
        "cluster.workers=2",
        "gang.width=auto",
        "gang.table=[{max_tokens: 9, width: 1}, {width: 2}]",
        "pab={spatial: 2, window: [0.1, 0.8], mlp: {blocks: [0, 1], starts: [720], steps: 2}}",
    )
    file = tmp_path / "again.yaml"
    file.write_text(config.to_yaml())
    again = load(str(file))
    assert (again.pab, again.gang, again.cluster, again.sampling) == (
        config.pab,
        config.gang,
        config.cluster,
        config.sampling,
    )


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("sampling.hieght=64", "unknown key sampling.hieght; the nearest known one is sampling.height"),
        ("hieght=64", "unknown key hieght; the nearest known one is sampling.height"),
        ("modl=demo", "unknown key modl; the nearest known one is model"),
        ("cluster.worker=2", "the nearest known one is cluster.workers"),
        ("pab.temporl=2", "the nearest known one is pab.temporal"),
        ("sampling.height=abc", "sampling.height is 'abc'; a whole number is wanted"),
        ("sampling.steps=2.5", "sampling.steps is 2.5; a whole number is wanted"),
        ("sampling.steps=true", "sampling.steps is True; a whole number is wanted"),
        ("sampling.steps=0", "sampling.steps is 0; it must be from 1 to 1000"),
        ("sampling.guidance_scale=.nan", "sampling.guidance_scale is nan; a number is wanted"),
        ("sampling=3", "sampling is 3; keys with values are wanted"),
        ("input=null", "input is nothing; keys with values are wanted"),
        ("gang.width=2", "a gang of 2 is wider than a domain, of which a job may hold 1 worker; cluster.workers"),
        ("gang.width=0", "a gang's width is 0"),
        ("gang.latency_s=2", "gang.latency_s is 2 and gang.width is 1; use gang.width=auto"),
        ("gang.latency_s=-1", "gang.latency_s is -1; it must be more than 0"),
        ("gang.width=wide", "gang.width is 'wide'; a whole number or auto is wanted"),
        ("cluster.device=tpu", "cluster.device is 'tpu'; auto or cpu or cuda is wanted"),
        ("cluster.workers=0", "cluster.workers is 0; it must be more than 0"),
        ("cluster.domain_workers=0", "cluster.domain_workers is 0; it must be more than 0"),
        ("engine.guidance=once", "engine.guidance is 'once'; auto or split or batched or two_pass is wanted"),
        ("model=dem", "model 'dem' is neither a known model"),
        ("flight=0", "flight is 0; it must be 1 or more"),
        ("steps", "'steps' is not key=value"),
        ("sampling.steps=[1", "'sampling.steps=[1' is not YAML"),
        ("output.uri=${oc.env:NOT_SET_ANYWHERE}", "'NOT_SET_ANYWHERE' not found"),
    ],
)
def test_a_bad_key_or_value_is_one_sentence(config_file: str, override: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(config_file, override)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "table",
    [
        "[{width: 1}, {width: 2}]",
        "[{max_tokens: 9, width: 1}]",
        "[{max_tokens: 9, width: 1}, {max_tokens: 5, width: 2}, {width: 2}]",
    ],
)
def test_a_table_of_widths_must_cover_every_video(config_file: str, table: str) -> None:
    with pytest.raises(ConfigError, match="rising max_tokens and a last entry without"):
        load(config_file, "cluster.workers=2", "gang.width=auto", f"gang.table={table}")


def test_a_rule_that_no_video_can_meet_is_refused(config_file: str) -> None:
    table = "gang.table=[{max_tokens: -5, width: 1}, {width: 2}]"
    with pytest.raises(ConfigError, match=r"gang.table has max_tokens -5; it must be 1 or more"):
        load(config_file, "cluster.workers=2", "gang.width=auto", table)


def test_missing_keys_are_named(model_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"input is missing; keys with values is wanted|input is missing"):
        make_config({"model": str(model_folder), "output": {"uri": "out"}})


@pytest.mark.parametrize(
    ("content", "sentence"), [("a: [1", "is not YAML"), ("- 1", "holds a list"), ("\xff", "UTF-8")]
)
def test_a_file_that_is_no_config_is_told(tmp_path: Path, content: str, sentence: str) -> None:
    file = tmp_path / "job.yaml"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=sentence):
        load(str(file))


def test_a_config_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(str(tmp_path / "none.yaml"))


def test_the_shipped_demo_config_loads_from_any_folder(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(str(ROOT / "configs/demo.yaml"), f"model={model_folder}")
    assert Path(config.input.path).is_file()
    assert config.gang.widths == (1, 2)
    assert config.pab.text() == "spatial=2,temporal=4,cross=6,timesteps=100:800"


def test_the_file_of_all_keys_has_every_key_with_its_default() -> None:
    file = ROOT / "configs/all_keys.yaml"
    listed = OmegaConf.to_container(OmegaConf.load(file))
    needed = {"model": "demo", "input": {"path": "configs/prompts/demo.jsonl"}, "output": {"uri": "out/all_keys"}}
    defaults = OmegaConf.to_container(OmegaConf.create(make_config(needed).to_yaml()))
    assert listed == defaults
