"""What of a config is not shown."""

import json
import time
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

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
  address: http://me:hunter2@host:8000/x?token=hunter4&y=1
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


@pytest.mark.parametrize(
    "name", ["token", "HF_TOKEN", "apiKey", "aws-secret-access-key", "db.password", "APIKey", "x_pw"]
)
def test_a_name_of_a_secret_is_known(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["text_tokens", "keyframes", "monkey", "passes", "author", "prompt"])
def test_a_name_that_only_holds_one_is_none(name: str) -> None:
    assert not is_secret(name)


PEM = f"-----BEGIN RSA {'PRIVATE'} KEY-----\nhunter1\nhunter2\n-----END RSA {'PRIVATE'} KEY-----"
KNOWN = [
    *("hf_" + "a" * 30, "ghp_" + "B" * 36, "AKIA" + "Z" * 16, "github_pat_" + "1a" * 11 + "_" + "b2" * 20),
    *("r8_" + "c" * 37, "AIza" + "D-_3" * 9, "xoxb-" + "1-" * 9 + "e" * 20, "eyJ" + ".".join(["f" * 20] * 3), PEM),
]


@pytest.mark.parametrize("secret", KNOWN)
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "env: [{name: AWS_SECRET_ACCESS_KEY, value: hunter}]\n",
            f"env: [{{name: AWS_SECRET_ACCESS_KEY, value: {MASK}}}]\n",
        ),
        ("env:\n- value: hunter\n  name: DB_PASSWORD\n", f"env:\n- value: {MASK}\n  name: DB_PASSWORD\n"),
        ("env: [{name: HOME, value: /root}]\n", "env: [{name: HOME, value: /root}]\n"),
        ("run: serve --password hunter --port 80\n", f"run: serve --password {MASK} --port 80\n"),
        ("run: [serve, --api-key, hunter, '80']\n", f"run: [serve, --api-key, {MASK}, '80']\n"),
        ("db: postgres://u:ab/hunter2@h/x\n", f"db: postgres://{MASK}@h/x\n"),
        ("db: https://proxy/http://u:hunter2@h/x\n", f"db: https://proxy/http://{MASK}@h/x\n"),
        ("data: hf://datasets/a/b@main\n", "data: hf://datasets/a/b@main\n"),
        ("x_pw: hunter\n", f"x_pw: {MASK}\n"),
        (
            f"a:\n  pem: |\n    {PEM.replace(chr(10), chr(10) + '    ')}\n  b: 1\n",
            f"a:\n  pem: |\n    {MASK}\n  b: 1\n",
        ),
        (f"key_file: {json.dumps(PEM)}\nb: 1\n", f"key_file: {MASK}\nb: 1\n"),
        (f"pem: {json.dumps(PEM)}\nb: 1\n", f"pem: {MASK}\nb: 1\n"),
        ("a: 'say token=hunter'\n", f"a: 'say token={MASK}'\n"),
        ('a: "{\\"password\\": \\"hunter\\"}"\n', f"a: {MASK}\n"),
        ('a: "pass\\x77ord=hunter"\n', f"a: {MASK}\n"),
        ("a: |\n  --token\n  hunter\n  --port 80\n", f"a: |\n  --token\n  {MASK}\n  --port 80\n"),
        ("header: Authorization=Bearer\n  hunter\n", f"header: {MASK}\n"),
    ],
)
def test_a_secret_is_masked_however_it_is_written(text: str, shown: str) -> None:
    found = masked_yaml(text)
    assert found == shown
    yaml.safe_load(found.replace(MASK, "masked"))


LONG = {
    "one word": f'a: "{"A" * 99_000}"',
    "a word with dots": "a.-" * 33_000,
    "an address": "x://" + "a" * 99_000,
    "names": "token=" * 16_000,
    "names of nothing": "a=" * 50_000,
    "blanks": "a: " + "b  --c  " * 12_000,
    "schemes": "://x:" * 20_000 + " ",
    "schemes in paths": "a: x" + "://x" * 25_000 + "@",
    "keys": "a: " + "sk-hf_eyJ-" * 10_000,
    "beginnings": f"a: {f'-----BEGIN {chr(80)}RIVATE KEY-----' * 3_600}",
    "quotes": "a: " + "token='" * 14_000,
    "mixed": "a: " + "aA" * 50_000,
    "entries": "a: [" + "token=x, " * 11_000 + "]",
}


@pytest.mark.parametrize("kind", LONG)
def test_a_text_of_any_form_is_masked_in_a_time_that_grows_with_its_length(kind: str) -> None:
    began = time.process_time()
    masked_text(LONG[kind])
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("kind", LONG)
def test_a_config_of_any_form_takes_as_long_as_to_read_it(folder: LocalStore, kind: str) -> None:
    folder.put("_pabcast/run.yaml", LONG[kind].encode())
    began = time.process_time()
    RunRecord.read(folder)
    assert time.process_time() - began < 2.0, "most of it for the YAML"


def test_the_texts_of_failures_are_masked(folder: LocalStore, tmp_path: Path) -> None:
    fill(folder, {})
    record = {
        "sample_id": "0" * 32,
        "source": "https://me:hunter2@host/keys.jsonl:17#2",
        "reason": f"GET https://me:hunter2@host/x?token=hunter3 failed with {KNOWN[0]}",
        "kind": "StoreError",
        "id": "token=hunter4",
        "at": "2026-05-04T09:00:00+00:00",
    }
    folder.put(f"_pabcast/failures/{'0' * 32}.json", json.dumps(record).encode())
    _, page = page_of(folder, tmp_path / "page.html")
    assert "hunter" not in page
    assert KNOWN[0] not in page
    assert f"GET https://{MASK}@host/x?token={MASK} failed with {MASK}" in page
    assert f"https://{MASK}@host/keys.jsonl:17#2" in page
    assert "2026-05-04 09:00:00 UTC" in page
