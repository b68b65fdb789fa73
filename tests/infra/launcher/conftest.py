from collections.abc import Iterator

import pytest

from tests.infra.launcher import metadata


@pytest.fixture
def metadata_server() -> Iterator[str]:
    with metadata.running() as url:
        yield url
