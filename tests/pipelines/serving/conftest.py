"""The jobs of an endpoint in a folder."""

from pathlib import Path

import pytest

from pipelines.serving.jobs import VideoJobs
from pipelines.store import LocalStore


@pytest.fixture
def jobs(tmp_path: Path) -> VideoJobs:
    return VideoJobs(LocalStore(tmp_path))
