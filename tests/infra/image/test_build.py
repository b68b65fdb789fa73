"""The build's own steps, from the Dockerfile, in a clean virtual environment."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from string import Template

import pytest

from pipelines.places import ROOT
from tests.infra.image.stages import PYTHON, context, stages

FOLDERS = ("/app", "/opt/venv", "/tmp/requirements.lock")
"""What the builder makes; elsewhere in a test."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not sys.version.startswith(f"{PYTHON}."), reason=f"the lock is for Python {PYTHON}"),
]


class Builder:
    """Carries out the `builder` stage for the CPU below a folder, from what a build's context has."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stage = stages()["builder"]
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            **{name: self.moved(value) for name, value in self.stage.environment.items()},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ACCELERATOR": "cpu",
            # Where pip is told to find torch's wheels, if it is.
            "TORCH_WHEELS": os.environ.get("PIP_FIND_LINKS", self.stage.arguments["TORCH_WHEELS"]),
        }

    def moved(self, text: str) -> str:
        for folder in FOLDERS:
            text = text.replace(folder, f"{self.root}{folder}")
        return text

    def copy(self, sources: tuple[str, ...], target: str) -> None:
        into = self.root / "app" / target if not target.startswith("/") else Path(self.moved(target))
        for path in sorted(context()):
            for source in (Template(source).substitute(ACCELERATOR="cpu") for source in sources):
                if path == source or path.startswith(f"{source}/"):
                    place = into / Path(path).relative_to(source) if path != source else into
                    place = place / Path(path).name if place.is_dir() else place
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / path, place)

    def build(self) -> None:
        (self.root / "app").mkdir(parents=True)
        for command in self.stage.commands:
            if command.cmd.upper() == "COPY" and not command.flags:
                self.copy(command.value[:-1], command.value[-1])
            elif command.cmd.upper() == "RUN":
                shell = [*self.stage.of("SHELL")[0].value, self.moved(command.value[0])]
                done = subprocess.run(
                    shell, cwd=self.root / "app", env=self.environment, capture_output=True, text=True, timeout=800
                )
                assert done.returncode == 0, f"{command.value[0]}\n{done.stdout}{done.stderr}"


ONE_VIDEO = """
from actors.engine import Engine, VideoRequest
from cluster.pab import PabConfig
engine = Engine.load("app/actors/engine/demo/model")
output = engine.generate(VideoRequest(
    prompt="a red circle moving left over a black background", height=64, width=64, num_frames=16, steps=2,
    guidance_scale=4.0, model="demo", model_revision=engine.card.revision, pab=PabConfig(),
))
print(tuple(output.frames.shape))
"""


@pytest.fixture
def root() -> Iterator[Path]:
    # Some GiB, which pytest's own folders would keep.
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_what_the_image_installs_is_whole_and_runs(root: Path) -> None:
    Builder(root).build()
    clean = {"PATH": f"{root}/opt/venv/bin:/usr/bin:/bin", "HOME": str(root)}

    def output(*command: str) -> str:
        done = subprocess.run(command, cwd=root, env=clean, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "Usage: pabcast" in output("pabcast", "--help")
    assert "wan-2.1" in output("pabcast", "models")
    assert "2.60" in output("ray", "--version")
    where = "import pipelines, torch; print(pipelines.__path__[0], torch.__version__)"
    folder, version = output("python", "-c", where).split()
    assert (folder, version.partition("+")[2]) == (str(root / "app/pipelines"), "cpu")
    # What the head of a cluster needs besides: both clouds, and the server of `ray job submit`.
    output("python", "-c", "import boto3, google_auth_httplib2, googleapiclient, ray.dashboard.modules.job.job_head")
    assert "(16, 64, 64, 3)" in output("python", "-c", ONE_VIDEO)
