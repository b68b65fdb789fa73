"""The commands that run the image give it shared memory and folders that it may write to."""

import re
import shlex

import pytest

from pipelines.places import ROOT
from tests.infra.image.stages import stages

TEXT = (ROOT / "infra/image/README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL)
RUNS = [
    (block, shlex.split(line))
    for block in BLOCKS
    for line in block.replace("\\\n", "").splitlines()
    if line.startswith("docker run")
]
"""Each with its block."""
WRITABLE = "/app/out"


@pytest.mark.parametrize(("block", "words"), RUNS, ids=["command", "endpoint"])
def test_a_container_has_shared_memory_and_a_folder_that_was_made_for_user_1000(block: str, words: list[str]) -> None:
    assert any(word.startswith("--shm-size=") for word in words)
    mounts = [words[index + 1] for index, word in enumerate(words) if word == "-v"]
    assert f"$PWD/out:{WRITABLE}" in mounts
    assert block.index("install -d -m 777 out\n") < block.index("docker run")
    assert WRITABLE in stages()["runtime"].of("RUN")[0].value[0]


def test_the_endpoint_is_built_with_its_stage_and_run_with_what_its_command_reads() -> None:
    endpoint = stages()["endpoint"]
    block, words = RUNS[1]
    tag = re.search(r"^docker build .*--target endpoint -t (\S+) \.$", block, re.MULTILINE)
    assert tag is not None
    assert words[-1] == tag[1]
    assert any(word.endswith(":/run/secrets/keys:ro") for word in words)
    assert "auth.keys_file=/run/secrets/keys" in endpoint.of("CMD")[0].value
    (port,) = endpoint.of("EXPOSE")[0].value
    assert f"127.0.0.1:{port}:{port}" in words
