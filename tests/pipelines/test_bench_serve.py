"""`pabcast bench serve` on an endpoint of its own; how fast it is, is for the benchmark to print."""

import json

import pytest
from typer.testing import CliRunner

from pipelines.app import app


@pytest.mark.slow
def test_clients_are_answered_and_those_without_room_are_told_when_to_come_again() -> None:
    words = ["bench", "serve", "configs/serve.yaml", "limits.queue=2", "sampling.steps=2", "--clients", "8"]
    result = CliRunner().invoke(app, [*words, "--seconds", "8", "--arrive", "2", "--json"])
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout.splitlines()[-1])
    assert said["idle"]["answers"] == {"200": said["idle"]["answers"]["200"]}
    assert set(said["load"]["answers"]) == {"200", "429"}
    assert said["load"]["without_retry_after"] == 0
    assert said["load"]["ended"]["completed"] > 0
    assert said["arrive_seconds"] == 2
    assert said["p99_to_idle_median"] > 0
    assert {"clerk", "ingress", "pool"} <= set(said["memory_mb"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--clients", "0"], "--clients is 0; it must be 1 or more"),
        (["--seconds", "0"], "--seconds is 0; it must be 1 or more"),
        (["--seconds", "8", "--arrive", "8"], "--arrive is 8; it must be at least 0 and below --seconds, 8"),
        (["--arrive", "-1"], "--arrive is -1; it must be at least 0"),
        (["none.yaml"], "none.yaml"),
    ],
)
def test_what_cannot_be_measured_is_told(words: list[str], sentence: str) -> None:
    result = CliRunner().invoke(app, ["bench", "serve", *words])
    assert sentence in str(result.exception)
