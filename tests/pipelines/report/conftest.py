"""What tests of the report share."""

from pathlib import Path

import pytest

from pipelines.store import LocalStore


@pytest.fixture
def folder(tmp_path: Path) -> LocalStore:
    """An empty folder for a dataset."""
    return LocalStore(tmp_path / "set")
