"""The command line: what it prints, what it answers with, and what it never starts."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main
from pipelines.places import ROOT

Run = tuple[int, str, str]


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object) -> Run:
    """Exit code, stdout and stderr of `pabcast` with `arguments`, in this process."""
    monkeypatch.setattr(sys, "argv", ["pabcast", *(str(argument) for argument in arguments)])
    with pytest.raises(SystemExit) as exited:
        main()
    out, err = capsys.readouterr()
    return int(exited.value.code or 0), out, err


@pytest.fixture
def pabcast(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(*arguments: object) -> Run:
        return call(capsys, monkeypatch, *arguments)

    return run


@pytest.fixture
def job_file(tmp_path: Path, tiny_model: Path) -> Path:
    """A job that would work."""
    (tmp_path / "p.jsonl").write_text('{"prompt": "a cat"}\n')
    file = tmp_path / "job.yaml"
    file.write_text(
        f"model: {tiny_model}\ninput: {{path: {tmp_path}/p.jsonl}}\noutput: {{uri: {tmp_path}/out}}\n"
        "sampling: {height: 32, width: 32, steps: 2}\ncluster: {threads_per_worker: 1}\n"
    )
    return file


def test_help_has_an_example_for_every_command(pabcast: Any) -> None:
    code, out, _ = pabcast("--help")
    assert code == 0
    for command in ("run", "report", "generate", "schedule", "models", "doctor"):
        assert command in out
        code, text, _ = pabcast(command, "--help")
        assert code == 0
        assert f"Example: pabcast {command}" in text


@pytest.mark.parametrize(("rows", "code"), [((32, 33), 0), ((33, 34), 3), ((), 0)])
def test_a_plan_of_which_no_row_can_be_made_ends_as_its_run_would(
    pabcast: Any, job_file: Path, rows: tuple[int, ...], code: int
) -> None:
    lines = [json.dumps({"prompt": "a cat", "height": edge}) for edge in rows]
    (job_file.parent / "p.jsonl").write_text("\n".join(lines))
    found, out, err = pabcast("plan", job_file, "--json")
    assert found == code, err
    assert len(json.loads(out)["refused"]) == sum(edge != 32 for edge in rows)


def test_neither_help_nor_bad_usage_loads_torch_or_ray() -> None:
    heavy = ("torch", "ray", "diffusers", "matplotlib", "pyarrow")
    for arguments in (
        ["--help"],
        ["run", "none.yaml"],
        ["generate", "x", "--size", "1"],
        ["report", "x", "--out", "y"],
        ["nonsense"],
        ["doctor", "none.yaml"],
    ):
        code = (
            f"import sys\nsys.argv = ['pabcast', *{arguments!r}]\nfrom pipelines.cli import main\n"
            f"try:\n    main()\nexcept SystemExit:\n    print([name for name in {heavy!r} if name in sys.modules])\n"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]", arguments


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nonsense"], "No such command"),
        (["run"], "Missing argument 'CONFIG'"),
        (["run", "--nope", "x.yaml"], "No such option"),
        (["run", "none.yaml"], "the config none.yaml cannot be read"),
        (["generate"], "Missing argument 'PROMPT'"),
        (["generate", "a cat", "--out", "cat.webm"], "--out is cat.webm; the video is an mp4 file"),
        (["generate", "x", "--steps", "many"], "Invalid value for '--steps'"),
        (["generate", "x", "--model", "nope"], "model 'nope' is neither a known model"),
        (["schedule", "--model", "nope"], "model 'nope' is neither a known model"),
    ],
)
def test_bad_usage_is_one_sentence(pabcast: Any, arguments: list[str], sentence: str) -> None:
    code, out, err = pabcast(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert sentence in err


@pytest.mark.parametrize(
    ("override", "code", "sentence"),
    [
        ("sampling.hieght=1", 2, "the nearest known one is sampling.height"),
        ("input.path=none.jsonl", 2, "input.path none.jsonl does not exist"),
        ("gang.width=2", 2, "a gang of 2 is wider than a domain, of which a job may hold 1 worker; cluster.workers"),
        ("output.uri=/proc/nowhere/out", 1, "/proc/nowhere"),
        ("output.uri=ftp://x/y", 2, "ftp:// is not supported"),
    ],
)
def test_a_job_that_cannot_work_is_told_in_one_sentence(
    pabcast: Any, job_file: Path, override: str, code: int, sentence: str
) -> None:
    begun = time.monotonic()
    found, out, err = pabcast("run", job_file, override)
    assert (found, out) == (code, "")
    assert sentence in err.splitlines()[-1]
    assert "Traceback" not in err
    assert time.monotonic() - begun < 15


def test_an_input_without_prompts_is_told(pabcast: Any, job_file: Path, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"caption": "a cat"}\n')
    code, _, err = pabcast("run", job_file)
    assert code == 2
    assert "has no column prompt, but caption; rename caption to prompt" in err


def test_a_store_that_does_not_answer_is_told_within_15_seconds(
    pabcast: Any, job_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    begun = time.monotonic()
    code, _, err = pabcast("run", job_file, "output.uri=s3://bucket/out")
    assert code == 1
    assert "bucket bucket at http://127.0.0.1:9 cannot be reached" in err.splitlines()[-1]
    assert "secret" not in err
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--size", "large"], "--size is 'large'; width x height in pixels is wanted, as 96x64"),
        (["--size", "64x65"], "height 65 is not divisible by 8"),
        (["--size", "8x64"], "width 8 is outside 32 to 256"),
        (["--frames", "0"], "num_frames is 0"),
        (["--guidance", "nan"], "guidance_scale is nan"),
        (["--pab", "pab24"], "did you mean pab246"),
        (["--gang", "0"], "a gang's width is 0"),
        (["--gang", "17"], "its legal widths are 1 to 16"),
        (["--guidance-passes", "three"], "split or batched or two_pass is wanted"),
        (["--dtype", "int4"], "dtype is 'int4'"),
    ],
)
def test_flags_that_cannot_work_are_one_sentence(
    pabcast: Any, tiny_model: Path, tmp_path: Path, flags: list[str], sentence: str
) -> None:
    commands: list[list[object]] = [["generate", "a cat", "--out", tmp_path / "x.mp4"], ["schedule"]]
    for command in commands:
        code, out, err = pabcast(*command, "--model", tiny_model, *flags)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert sentence in err
    assert not (tmp_path / "x.mp4").exists()


def test_an_output_file_that_cannot_be_written_is_told_first(pabcast: Any, tiny_model: Path) -> None:
    code, _, err = pabcast("generate", "a cat", "--model", tiny_model, "--out", "/proc/nowhere/x.mp4")
    assert code == 1
    assert "/proc/nowhere/x.mp4 cannot be written" in err


def test_verbose_shows_the_traceback(pabcast: Any) -> None:
    code, _, err = pabcast("run", "none.yaml", "--verbose")
    assert code == 2
    assert "Traceback" in err


def test_schedule_tells_and_draws_the_table(pabcast: Any, tiny_model: Path, tmp_path: Path) -> None:
    plot = tmp_path / "s.png"
    flags = ["--model", tiny_model, "--pab", "pab246", "--gang", "2", "--steps", "30", "--plot", plot]
    code, out, _ = pabcast("schedule", *flags)
    assert code == 0
    assert "temporal  computes in 14 of 30 steps (47%)" in out
    assert plot.stat().st_size > 10_000
    code, out, err = pabcast("schedule", *flags, "--json")
    contract = json.loads(out)
    assert contract["computed"] == {"spatial": 20, "temporal": 14, "cross": 13, "mlp": 30}
    assert contract["collectives"]["all_to_all"]["calls"] == 2 * 14 * 2
    assert contract["collectives"]["all_gather"]["calls"] == 1
    assert contract["cache_bytes"] > 0
    assert "computes in" in err


def test_schedule_counts_joint_attention_of_a_model_without_files(pabcast: Any) -> None:
    code, out, _ = pabcast("schedule", "--model", "cogvideox-5b", "--pab", "cogvideox", "--gang", "4", "--json")
    assert code == 0
    contract = json.loads(out)
    computes = contract["computed"]["spatial"]
    assert (contract["steps"], computes) == (50, sum(contract["table"]["spatial"]))
    assert computes < 35
    assert contract["collectives"]["all_to_all"]["calls"] == 2 * 42 * computes
    code, _, err = pabcast("schedule", "--model", "cogvideox-5b", "--gang", "5")
    assert code == 2
    assert "a gang of 5 cannot share 720x480x49; its legal widths are 1, 2, 3, 4, 6, 8, 12, 16, 24, 48" in err


def test_models_lists_where_the_files_are(pabcast: Any) -> None:
    code, out, _ = pabcast("models", "--json")
    assert code == 0
    models = {model["id"]: model for model in json.loads(out)}
    assert models["demo"].keys() >= {"id", "path", "kinds", "widths"}
    assert Path(models["demo"]["path"]).is_absolute()


def test_generate_counts_what_schedule_predicts(
    pabcast: Any, ray_session: None, tiny_model: Path, tmp_path: Path
) -> None:
    flags = ["--model", tiny_model, "--gang", "2", "--steps", "8", "--size", "64x32", "--pab", "pab246"]
    video, latents = tmp_path / "videos/x.mp4", tmp_path / "x.safetensors"
    code, out, _ = pabcast("generate", "a cat", *flags, "--out", video, "--save-latents", latents, "--json")
    assert code == 0
    made = json.loads(out.splitlines()[-1])
    assert (made["steps"], made["gang"], made["size"]) == (8, 2, "64x32")
    assert made["seconds"] > 0
    from safetensors.numpy import load_file

    from pipelines.video import decode_mp4

    assert load_file(latents)["latents"].shape == (1, 4, 16, 4, 8)
    assert decode_mp4(video.read_bytes()).shape == (16, 32, 64, 3)
    code, out, _ = pabcast("schedule", *flags, "--json")
    predicted = json.loads(out)
    assert made["collectives"] == predicted["collectives"]
    assert made["computed"] == predicted["computed"]
    assert made["cache_bytes"] == predicted["cache_bytes"]


def test_run_ends_with_the_json_of_its_contract(
    pabcast: Any, ray_session: None, job_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "a cat"}\n{"prompt": ""}\n')
    code, out, err = pabcast("run", job_file, "--json")
    assert code == 3
    summary = json.loads(out.splitlines()[-1])
    counts = {name: summary[name] for name in ("requested", "skipped", "committed", "failed")}
    assert counts == {"requested": 2, "skipped": 0, "committed": 1, "failed": 1}
    assert 0 < summary["gang_busy_fraction"] <= 1
    assert summary["uri"] == str(tmp_path / "out")
    assert "failed p.jsonl:2: the prompt is empty" in err
