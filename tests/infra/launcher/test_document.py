"""The document names every word that is to be replaced, and its commands replace them all and plan a job."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from pipelines.places import ROOT
from tests.infra.launcher.clusters import CLOUDS, checked

FOLDER = ROOT / "infra/launcher"
TEXT = (FOLDER / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL)
FILES = sorted(file.name for file in FOLDER.iterdir() if file.suffix in (".yaml", ".json"))
PLACEHOLDER = re.compile(
    r"\bBUCKET\b|\bACCOUNT\b|your-project|registry\.example\.com|change-me|<\w+>|\b[a-z]+-[a-z]+\d-[a-f]\b|\b[a-z]+-[a-z]+-?\d\b(?!-)"
)
"""Words for somebody's own, a cloud's regions and zones among them."""


def placeholders(file: Path) -> list[str]:
    """What is to be replaced in a file, as often as it stands there."""
    return PLACEHOLDER.findall(re.sub(r"(^|\s)#.*$", "", file.read_text(), flags=re.MULTILINE))


@pytest.mark.parametrize("name", FILES)
def test_every_word_that_is_to_be_replaced_is_in_the_table_with_its_file(name: str) -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| [") and f"[{name}]" in line]
    found = placeholders(FOLDER / name)
    assert found
    for word in set(found):
        (row,) = (line for line in rows if f"`{word}`" in line)
        times = {1: "", 2: f"`{word}`, twice", 3: f"`{word}`, three times"}[found.count(word)]
        assert times in row, (name, word)


def test_the_clusters_files_have_no_bucket_as_the_document_says() -> None:
    assert "Neither cluster's file names the bucket" in TEXT
    assert not any(re.search("BUCKET|s3:", (FOLDER / f"{cloud}.yaml").read_text()) for cloud in CLOUDS)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_commands_of_a_cloud_replace_every_word_and_leave_a_file_that_ray_takes(cloud: str, tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "infra/launcher")
    (block,) = (
        block
        for block in BLOCKS
        if "sed -i" in block and f"infra/launcher/{cloud}.yaml" in block and "bucket=" in block
    )
    script = block.partition("\nfor role in")[0]
    script = re.sub(r"account=\$\(.*\)", "account=123", script)
    for name in ("bucket", "region", "bucket_region", "account", "project", "registry"):
        script = re.sub(rf"(?<![\w$]){name}=\S+", f"{name}=of.ours", script)
    script = re.sub(r"zone=\S+", "zone=europe-west4-b", script)
    subprocess.run(["bash", "-ec", script], cwd=tmp_path, check=True, timeout=20)
    names = [f"{cloud}.yaml", "serve-deploy.yaml", "aws-worker-policy.json"]
    names += ["aws-head-policy.json"] if cloud == "aws" else []
    changed = [tmp_path / "infra/launcher" / name for name in names]
    assert [word for file in changed for word in placeholders(file) if not word.startswith("europe-west4")] == []
    values = checked(yaml.safe_load(changed[0].read_text()))
    assert values["docker"]["image"] == "of.ours/pabcast:0.1.0-cuda"
    assert "--env=AWS_DEFAULT_REGION=of.ours" in values["docker"]["run_options"]
    if cloud == "aws":
        assert values["provider"]["region"] == "of.ours"
    else:
        assert (values["provider"]["region"], values["provider"]["availability_zone"]) == (
            "europe-west4",
            "europe-west4-b",
        )
        assert {
            kind["node_config"]["disks"][0]["initializeParams"]["diskType"]
            for kind in values["available_node_types"].values()
        } == {"zones/europe-west4-b/diskTypes/pd-ssd"}


def test_the_job_with_a_true_model_is_planned_in_gangs_by_the_command_that_says_so(tmp_path: Path) -> None:
    (block,) = (block for block in BLOCKS if "pabcast plan" in block)
    script = block.replace("prompts.txt", str(tmp_path / "prompts.txt"))
    done = subprocess.run(["bash", "-ec", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "refused" not in said
    assert re.search(r"^ +2 +1280x720x81 +\d+ +2 ", said, re.MULTILINE), said


def test_the_path_that_the_commands_give_a_model_is_where_the_image_has_it() -> None:
    (block,) = (block for block in BLOCKS if "docker build" in block)
    (folder,) = re.findall(r"--local-dir ~/pabcast-models/(\S+)", block)
    assert "COPY . /models/\\n" in block
    assert f"|path: /models/{folder}|' configs/models/wan-2.1-1.3b.yaml" in block
    assert re.search("^path: ", (ROOT / "configs/models/wan-2.1-1.3b.yaml").read_text(), re.MULTILINE)


def test_rays_token_is_made_for_any_user_of_a_container_in_a_folder_that_is_its_owners_alone(tmp_path: Path) -> None:
    (block,) = (block for block in BLOCKS if "openssl rand" in block and "ray-token" in block)
    for umask in ("022", "077"):
        variables = {**os.environ, "HOME": str(tmp_path / umask)}
        (tmp_path / umask).mkdir()
        subprocess.run(["bash", "-ec", f"umask {umask}\n{block}"], env=variables, check=True, timeout=20)
        folder = tmp_path / umask / ".config/pabcast"
        found = {name: (folder / name).stat().st_mode & 0o777 for name in (".", "ray-token", "ray-token/token")}
        assert found == {".": 0o700, "ray-token": 0o755, "ray-token/token": 0o644}
        assert re.fullmatch("[0-9a-f]{64}", (folder / "ray-token/token").read_text())


def test_every_job_on_spot_nodes_waits_longer_for_them_than_a_machine_and_its_image_take() -> None:
    lines = [line for block in BLOCKS for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    jobs = [line for line in lines if "cluster.spot=true" in line]
    assert len(jobs) >= 2
    assert all("cluster.spot_timeout_s=900" in shlex.split(job) for job in jobs)


def test_no_command_waits_for_ever() -> None:
    waits = [line for block in BLOCKS for line in block.splitlines() if re.search(r"\b(until|while)\b", line)]
    assert len(waits) >= 3
    assert [line for line in waits if not line.startswith("timeout ")] == []


def test_an_account_that_never_had_a_spot_machine_gets_the_role_that_they_want() -> None:
    (block,) = (block for block in BLOCKS if "put-role-policy" in block)
    assert "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com || true\n" in block
