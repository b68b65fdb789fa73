"""`pabcast plan`: widths, reasons and sums of a job that is not run."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.calibration import assume
from cluster.errors import ConfigError
from pipelines.app import app
from pipelines.config import JobConfig, load_config
from pipelines.gpus import find_gpu, gpu_of, known_gpus, load_calibration, save_calibration
from pipelines.job_check import check_job
from pipelines.plan import JobPlan, make_plan
from pipelines.plan_rows import planned_requests

ROWS = """prompt,height,width,seed
a sea,256,456,1
a sea,480,848,1
a sea,720,1280,1
a sea,1080,1920,1
a sea,1080,1920,2
a sea,1081,1920,1
,480,848,1
"""
PAB246 = "pab=spatial=2,temporal=4,cross=6,timesteps=450:930"


@pytest.fixture
def config_file(tmp_path: Path) -> str:
    (tmp_path / "rows.csv").write_text(ROWS)
    file = tmp_path / "job.yaml"
    file.write_text(
        f"model: open-sora-1.2\ninput: {{path: {tmp_path}/rows.csv}}\noutput: {{uri: {tmp_path}/out}}\n"
        "gang: {width: auto}\ngpu: h200\n"
    )
    return str(file)


def planned(config: JobConfig, *, says_workers: bool = False) -> JobPlan:
    return make_plan(config, planned_requests(config), says_workers=says_workers)


def test_widths_never_fall_as_the_resolution_grows_under_a_latency_goal(config_file):
    for latency_s in (2, 5, 12, 40):
        widths = [
            group.decision.width for group in planned(load_config(config_file, [f"gang.latency_s={latency_s}"])).groups
        ]
        assert len(widths) == 4
        assert widths == sorted(widths)


def test_rows_times_seconds_add_up_to_the_gpu_hours(config_file):
    plan = planned(load_config(config_file, ["gang.latency_s=12"]))
    costs = [(group.videos, group.decision.cost) for group in plan.groups]
    assert plan.videos == 5
    assert sum(count * cost.width * cost.seconds for count, cost in costs) / 3600 == pytest.approx(plan.gpu_hours)


def test_a_gang_of_five_leaves_three_of_eight_workers_idle(config_file):
    plan = planned(load_config(config_file, ["gang.width=5"]))
    seconds = [(group.videos, group.decision.cost.seconds) for group in plan.groups]
    assert plan.hours * 3600 == pytest.approx(sum(videos * each for videos, each in seconds))
    pairs = planned(load_config(config_file, ["gang.width=4"]))
    seconds = [(group.videos, group.decision.cost.seconds) for group in pairs.groups]
    each = sorted(each for videos, each in seconds for _ in range(videos))
    # The two longest are alike and begin together; then two begin, and the shortest follows the shorter of them.
    assert pairs.hours * 3600 == pytest.approx(max(each[-1] + each[2], each[-2] + each[1] + each[0]))


def test_no_job_takes_less_than_its_longest_video(config_file):
    overrides = ["gang.width=1", "cluster.workers=64"]
    plan = planned(load_config(config_file, overrides), says_workers=True)
    assert plan.hours * 3600 == max(group.decision.cost.seconds for group in plan.groups)


def test_gangs_are_within_domains_and_workers_kept_for_online_requests_are_not_counted(config_file):
    def plan(*overrides: str) -> JobPlan:
        return planned(load_config(config_file, overrides), says_workers=True)

    pairs = ["cluster.workers=6", "gang.width=2"]
    seconds = [group.decision.cost.seconds for group in plan(*pairs).groups]
    assert plan(*pairs).hours * 3600 == pytest.approx(seconds[-1])  # three gangs: two longest and all others
    # Two domains of three hold two gangs, so that the next longest waits for one.
    assert plan(*pairs, "cluster.domain_workers=3").hours * 3600 == pytest.approx(seconds[-1] + seconds[-2])
    alone = plan("cluster.workers=1", "gang.width=1").hours
    assert plan("cluster.workers=6", "cluster.online_workers=5", "gang.width=1").hours == pytest.approx(alone)


def test_the_papers_all_to_all_volumes_are_in_the_plan(config_file):
    # arXiv 2408.12588, the table of communication: GB a rank of 8 without and with PAB246.
    for override, volume in (("pab=off", 23.08), (PAB246, 13.08)):
        plan = planned(load_config(config_file, ["gang.width=8", override]))
        group = next(group for group in plan.groups if group.kindred.shape.height == 480)
        assert group.all_to_all_bytes / 1e9 == pytest.approx(volume, abs=0.005)


def test_joint_models_are_planned_on_widths_whose_halves_divide_their_heads(config_file):
    sampling = ["sampling.num_frames=81", "sampling.steps=50", "gang.latency_s=1"]
    plan = planned(load_config(config_file, ["model=wan-2.1-1.3b", "pab=wan", *sampling]))
    assert {reason for _, reason in plan.refused} >= {
        "width 456 is not divisible by 16; the nearest below is 448",
        "height 1080 is not divisible by 16; the nearest below is 1072",
    }
    assert [group.decision.width for group in plan.groups] == [8, 8]
    assert all(group.all_to_all_bytes > 0 for group in plan.groups)


def test_rows_that_cannot_be_made_are_counted_by_reason_and_the_others_planned(config_file):
    refused = {reason: count for count, reason in planned(load_config(config_file)).refused}
    assert refused == {"height 1081 is not divisible by 8; the nearest below is 1080": 1, "the prompt is empty": 1}


def test_a_video_that_fits_no_gang_is_refused_with_what_would_fit(config_file):
    plan = planned(load_config(config_file, ["gpu=rtx4090", "sampling.num_frames=408"]))
    reason = next(reason for _, reason in plan.refused if "1920x1080x408" in reason)
    assert "GB can be used; what would fit: " in reason


def test_a_gang_of_a_given_width_must_hold_its_videos_too(config_file):
    plan = planned(load_config(config_file, ["gpu=rtx4090", "gang.width=1", "sampling.num_frames=408"]))
    reason = next(reason for _, reason in plan.refused if "1280x720" in reason)
    assert re.search(r"needs [\d.]+ GB a GPU on a gang of 1, and [\d.]+ GB can be used; a gang of \d+ would do", reason)


@pytest.mark.parametrize(
    ("overrides", "workers", "widest"),
    [
        ([], 8, 8),
        (["cluster.workers=4"], 4, 4),
        (["cluster.workers=16"], 16, 8),
        (["cluster.workers=6"], 6, 6),
        (["cluster.workers=1"], 1, 1),
    ],
)
def test_a_plan_is_for_a_domain_unless_the_job_says_how_many_workers(config_file, overrides, workers, widest):
    said = bool(overrides)
    assert planned(load_config(config_file, overrides), says_workers=said).workers == workers
    limit = "the domain of h200 in configs/gpus" if widest == 8 else "cluster.workers and cluster.domain_workers"
    sentence = f"a gang of {widest + 1} is wider .* a job may hold {widest} workers?; {limit} must be"
    with pytest.raises(ConfigError, match=sentence):
        planned(load_config(config_file, [*overrides, f"gang.width={widest + 1}"]), says_workers=said)


@pytest.mark.parametrize(("overrides", "workers"), [([], 8), (["cluster.workers=1"], 1)])
def test_the_command_knows_whether_the_job_says_how_many_workers(config_file, overrides, workers):
    result = CliRunner().invoke(app, ["plan", config_file, *overrides, "--json"])
    assert json.loads(result.stdout)["workers"] == workers


def test_no_gang_is_planned_that_a_job_may_not_hold(config_file):
    kept = ["cluster.workers=8", "cluster.online_workers=6"]
    plan = planned(load_config(config_file, [*kept, "gang.latency_s=1"]), says_workers=True)
    assert {group.decision.width for group in plan.groups} == {2}
    with pytest.raises(ConfigError, match=r"may hold 2 workers; cluster\.workers and"):
        planned(load_config(config_file, [*kept, "gang.width=8"]), says_workers=True)


def test_rates_of_another_device_are_refused(config_file, tmp_path):
    save_calibration(replace(assume(find_gpu("h200"), 2), device="x86_64 CPU"), tmp_path / "cpu.json")
    with pytest.raises(ConfigError, match="is of x86_64 CPU and gpu is h200"):
        planned(load_config(config_file, [f"calibration={tmp_path}/cpu.json"]))


def test_the_command_prints_a_table_and_one_json_object(config_file):
    result = CliRunner().invoke(app, ["plan", config_file, "gang.latency_s=12", "--json"])
    assert result.exit_code == 0, result.stderr
    plan = json.loads(result.stdout)
    assert (plan["gpu"], plan["workers"], plan["videos"]) == ("h200", 8, 5)
    assert [group["size"] for group in plan["groups"]] == ["456x256", "848x480", "1280x720", "1920x1080"]
    assert all(group["reason"] and set(group["flops"]) >= {"spatial", "mlp", "vae"} for group in plan["groups"])
    assert "the narrowest that meets 12 s" in result.stderr


def test_a_model_without_files_is_planned_and_not_run(config_file):
    with pytest.raises(ConfigError, match="there is no model folder"):
        check_job(load_config(config_file, ["gpu=null"]))


def test_an_unknown_gpu_is_told_with_the_nearest(config_file):
    with pytest.raises(ConfigError, match="the nearest known one is h200"):
        planned(load_config(config_file, ["gpu=h20"]))


def test_every_shipped_gpu_says_where_its_figures_come_from():
    gpus = known_gpus()
    assert set(gpus) >= {"h200", "h100", "a100-80g", "l40s", "rtx4090", "cpu"}
    assert all(gpu.source for gpu in gpus.values())


def test_a_calibration_is_read_as_it_was_kept(tmp_path):
    kept = assume(find_gpu("h200"), 2)
    save_calibration(kept, tmp_path / "new" / "h200.json")
    assert load_calibration(str(tmp_path / "new" / "h200.json")) == kept


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is not JSON"),
        ("{}", "device is missing"),
        ("[]", "keys with values"),
    ],
)
def test_a_file_that_is_no_calibration_is_told(tmp_path, content, sentence):
    file = tmp_path / "rates.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=sentence):
        load_calibration(str(file))


def test_a_cluster_s_accelerator_is_found_among_the_known_gpus() -> None:
    assert gpu_of(["TPU-V4", "A100-80G", "H200"]) == "a100-80g"
    assert gpu_of(["TPU-V4"]) is None


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"link_bytes_per_s": -5}, "link_bytes_per_s is -5; it must be from 1 to 1e+18"),
        ({"link_bytes_per_s": 0}, "link_bytes_per_s is 0"),
        ({"text_s": -100}, "text_s is -100; it must be from 0 to 1e+06"),
        ({"text_s": 1e308}, "text_s is 1e+308"),
        ({"dtype": "float64"}, "dtype is 'float64'; float32 or bfloat16 is wanted"),
        ({"base": {}}, "base has no figure above 0"),
        ({"spatial": {"per_core_s": -1}}, "per_core_s is -1"),
        ({"decode": {"start_s": 1e300}}, "start_s is 1e+300"),
    ],
)
def test_a_calibration_that_cannot_be_is_told(
    config_file: Path, tmp_path: Path, changed: dict[str, object], sentence: str
) -> None:
    good = asdict(assume(find_gpu("h200"), 2))
    file = tmp_path / "cpu.json"
    file.write_text(json.dumps({**good, **changed}))
    with pytest.raises(ConfigError, match=re.escape(f"calibration {file}: {sentence}")):
        planned(load_config(config_file, [f"calibration={file}"]))


def test_a_calibration_of_another_precision_is_refused(config_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "cpu.json"
    file.write_text(json.dumps(asdict(assume(find_gpu("h200"), 4))))
    with pytest.raises(ConfigError, match="is of float32, and videos are made in bfloat16"):
        planned(load_config(config_file, [f"calibration={file}"]))


def test_a_deep_calibration_is_no_json(config_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "cpu.json"
    file.write_text("[" * 200_000)
    with pytest.raises(ConfigError, match="is not JSON"):
        planned(load_config(config_file, [f"calibration={file}"]))
