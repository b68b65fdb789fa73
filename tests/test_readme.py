"""Every command of the README runs as it is written; the installs and the test command are .ci/run's."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.app import app
from pipelines.video import decode_mp4
from tests.pipelines.serving.endpoint import Endpoint

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ELSEWHERE = ("pip install", "pytest", "python -m actors.engine.demo.train", "pabcast serve")


def shown_commands() -> list[str]:
    """The lines of the README's `sh` blocks, cut at `&&`, without those that .ci/run and other tests run."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    commands = [part.strip() for line in lines for part in line.split("&&")]
    return [command for command in commands if not command.startswith(ELSEWHERE)]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("command", shown_commands())
def test_a_command_of_the_readme_runs_as_written(command, tmp_path):
    words = shlex.split(command)
    assert words[0] == "pabcast"
    script = Path(sys.executable).with_name("pabcast")
    result = subprocess.run([script, *words[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=580)
    assert result.returncode == 0, result.stderr
    assert result.stdout or result.stderr
    if "--json" in words:
        assert isinstance(json.loads(result.stdout.splitlines()[-1]), dict | list)


def test_the_plan_that_the_readme_shows_is_what_its_command_prints():
    command, shown = re.search(
        r"^```sh\n(pabcast plan .*)\n```\n\n```\n(.*?)^```", README, re.DOTALL | re.MULTILINE
    ).groups()
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert (result.exit_code, result.stdout) == (0, shown), result.stderr


@pytest.mark.slow
def test_the_engine_example_of_the_readme_runs_as_written():
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    (example,) = (block for block in blocks if "actors.engine" in block)
    result = subprocess.run([sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("(16, 64, 96, 3) {'spatial': 20, 'temporal': 14, 'cross': 13")


@pytest.mark.slow
def test_the_endpoint_answers_the_example_of_the_readme(tmp_path):
    """On another port than the one that is shown, which may be taken."""
    assert "pabcast serve configs/serve.yaml\n" in README
    (example,) = (
        block for block in re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.M) if "openai" in block
    )
    endpoint = Endpoint(tmp_path)
    endpoint.start()
    try:
        example = example.replace("http://127.0.0.1:8000", endpoint.url)
        result = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", example], cwd=tmp_path, capture_output=True, text=True
        )
    finally:
        status = endpoint.stop()
    assert result.returncode == 0, result.stderr
    assert result.stdout == "completed 96x64\n"
    assert decode_mp4((tmp_path / "red.mp4").read_bytes()).shape == (16, 64, 96, 3)
    assert status == 0


def test_ci_runs_the_two_commands_of_the_first_screen():
    ci = (ROOT / ".ci/run").read_text()
    first, second = re.findall(r"^```sh\n(pip install.*?)\n```", README, re.DOTALL | re.MULTILINE)
    assert first == "pip install -e . && pabcast run configs/demo.yaml"
    for part in second.split(" && "):
        assert part.replace("pip install", "pip install --quiet") in ci


def test_every_file_that_the_readme_links_to_is_there():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_top_level_room_is_linked_from_the_readme():
    rooms = ("pipelines", "actors", "cluster", "configs", "infra", "tests")
    assert all(f"]({room})" in README for room in rooms)


VARIANTS = ("diffusers-off", "diffusers-pab", "off", "pab", "compiled-off", "compiled-pab")


def test_the_seconds_that_the_readme_shows_are_those_of_the_records():
    rows = re.findall(r"^\| \[[\w.-]+\]\((infra/benchmarks/[\w.-]+\.json)\) \|(.*)\|$", README, re.MULTILINE)
    assert len(rows) == 4
    for file, cells in rows:
        records = json.loads((ROOT / file).read_text())
        seconds = {record["variant"]: f"{record['seconds']:.2f}" for record in records}
        shape, card, *shown = (cell.strip() for cell in cells.split("|"))
        assert shown == [seconds.get(variant, "") for variant in VARIANTS]
        assert shape == f"{records[0]['shape'].replace('x', '×')}, {records[0]['steps']}"
        assert card in records[0]["device"]
