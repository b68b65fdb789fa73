"""A repository for the scan for secrets."""

from pathlib import Path

import pytest

from tests.infra.planting import commit, git


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "notes.py").write_text("x = 1\n")
    commit(tmp_path)
    return tmp_path
