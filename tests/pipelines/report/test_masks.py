"""What of a config is not shown."""

from pathlib import Path

import pytest

from pipelines.report.masks import MASK, is_secret, masked_text, masked_yaml
from pipelines.report.run_record import RunRecord
from pipelines.store import LocalStore
from tests.pipelines.report.datasets import fill, page_of

CONFIG = """# versions:
#   torch: 2.13.0+cpu
#   hf_token: hunter0
model: demo
text_tokens: 12
output: {uri: 's3://bucket/x', api-key: hunter1, n: 3}
cluster:
  password: |
    hunter2
    hunter2
  address: http://me:hunter3@host:8000/x?token=hunter4&y=1
secret:
  a: hunter5
keys:
- hunter6
- hunter6
env: "AWS_SECRET_ACCESS_KEY=hunter7 HOME=/root"
header: "Authorization: Bearer hunter8"
token:
first: &shared {apiKey: hunter9}
again: *shared
"""


def test_secrets_of_a_config_are_masked_and_all_else_is_as_it_was(folder: LocalStore, tmp_path: Path) -> None:
    fill(folder, {})
    folder.put("_pabcast/run.yaml", CONFIG.encode())
    _, page = page_of(folder, tmp_path / "page.html")
    assert "hunter" not in page
    record = RunRecord.read(folder)
    assert record.versions == {"torch": "2.13.0+cpu"}
    kept = [line for line in record.config.splitlines() if MASK not in line]
    assert kept == ["model: demo", "text_tokens: 12", "cluster:", "secret:", "keys:", "token:", "again: *shared"]
    assert f"output: {{uri: 's3://bucket/x', api-key: {MASK}, n: 3}}" in record.config
    assert f"  address: http://{MASK}@host:8000/x?token={MASK}&y=1" in record.config


@pytest.mark.parametrize("name", ["token", "HF_TOKEN", "apiKey", "aws-secret-access-key", "db.password", "APIKey"])
def test_a_name_of_a_secret_is_known(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["text_tokens", "keyframes", "monkey", "passes", "author", "prompt"])
def test_a_name_that_only_holds_one_is_none(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize("secret", ["hf_" + "a" * 30, "ghp_" + "B" * 36, "AKIA" + "Z" * 16])
def test_a_known_kind_of_key_is_masked_wherever_it_stands(secret: str) -> None:
    assert masked_text(f"see {secret}, there") == f"see {MASK}, there"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"a: [hunter\n", "is no YAML, and is not shown: "),
        (b"[" * 5000, "is no YAML, and is not shown: it is too deeply nested"),
        (b"\xff\xfe", "is no text in UTF-8"),
        (b"a: hunter\n" * 20_000, "has more than 100,000 bytes, and is not shown"),
        (b"", "holds no config"),
        (None, "There is no _pabcast/run.yaml"),
    ],
)
def test_a_run_file_that_cannot_be_understood_is_not_shown(
    folder: LocalStore, tmp_path: Path, data: bytes | None, sentence: str
) -> None:
    fill(folder, {})
    folder.delete("_pabcast/run.yaml")
    if data is not None:
        folder.put("_pabcast/run.yaml", data)
    _, page = page_of(folder, tmp_path / "page.html")
    assert sentence in page
    assert "hunter" not in page


def test_aliases_that_lead_to_each_other_again_and_again_take_no_time() -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40))]
    text = "\n".join(lines)
    assert masked_yaml(text) == text
