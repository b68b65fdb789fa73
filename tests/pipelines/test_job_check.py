"""What of a job is refused before anything starts."""

from pathlib import Path

import pytest

from cluster.errors import ConfigError
from pipelines.config import make_config
from pipelines.job_check import check_job


@pytest.mark.parametrize(
    ("source", "output", "relation"),
    [
        ("in", "in", "is the same as"),
        ("in", "in/out", "is inside"),
        ("in/a/p.txt", "in", "holds"),
        ("in", "link", "is the same as"),
        ("in/../in/a", "file://{folder}/in/./", "holds"),
        ("s3://bucket/in", "s3://bucket/in/", "is the same as"),
        ("s3://bucket", "s3://bucket/out", "is inside"),
        ("s3://bucket/out/p.txt", "s3://bucket/out", "holds"),
    ],
)
def test_results_do_not_go_among_the_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, output: str, relation: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in/a").mkdir(parents=True)
    (tmp_path / "in/a/p.txt").write_text("a cat\n")
    (tmp_path / "link").symlink_to("in")
    uri = output.format(folder=tmp_path)
    config = make_config({"model": "demo", "input": {"path": source}, "output": {"uri": uri}, "sampling": {}})
    with pytest.raises(ConfigError, match=f"{relation} input.path .* give two places"):
        check_job(config)


def test_results_may_go_beside_the_prompts(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a cat\n")
    places = {"input": {"path": str(tmp_path / "in.txt")}, "output": {"uri": str(tmp_path / "in")}}
    assert check_job(make_config({"model": "demo", "sampling": {}, **places})).input.bytes == 6
