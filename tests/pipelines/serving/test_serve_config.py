"""An endpoint's config: what loads, and the sentence for what does not."""

import subprocess
import sys
from pathlib import Path

import pytest

from cluster.errors import ConfigError
from pipelines.places import ROOT
from pipelines.serving.config import HttpConfig, ServeConfig, load_serve_config, make_serve_config

OPEN = ("auth.disabled=false", "auth.keys_file=keys.txt")


def load(*overrides: str) -> ServeConfig:
    return load_serve_config("configs/serve.yaml", overrides)


def test_the_shipped_config_loads_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load()
    assert (config.model.id, config.http.host, config.http.port, config.store.uri) == (
        "demo",
        "127.0.0.1",
        8000,
        "out/serve",
    )
    assert (config.limits.queue, config.limits.per_key, config.gang.is_by_cost) == (50, 25, True)
    assert (config.auth.disabled, config.keys_path) == (True, None)


def test_overrides_win_over_the_file() -> None:
    config = load("http.port=9000", "limits.queue=2", "store.uri=s3://bucket/serve", "sampling.steps=7", "pab=off")
    assert (config.http.port, config.limits.queue, config.store.uri) == (9000, 2, "s3://bucket/serve")
    assert (config.sampling.steps, config.pab.is_off) == (7, True)


def test_a_config_of_a_store_alone_has_every_default_but_wants_keys() -> None:
    config = make_serve_config({"model": "demo", "store": {"uri": "out"}, "auth": {"keys_file": "k"}})
    assert (config.http, config.sampling.height) == (HttpConfig(), 64)
    with pytest.raises(ConfigError, match=r"auth\.keys_file is missing"):
        make_serve_config({"model": "demo", "store": {"uri": "out"}})


def test_the_resolved_config_loads_again(tmp_path: Path) -> None:
    config = load("http.replicas=3", "limits.keep_s=60", "gang.latency_s=30")
    file = tmp_path / "again.yaml"
    file.write_text(config.to_yaml())
    assert load_serve_config(str(file)) == config


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_anybody_may_ask_where_only_this_machine_can(host: str) -> None:
    assert load(f"http.host='{host}'").http.is_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org", ""])
def test_auth_cannot_be_disabled_where_others_reach_it(host: str) -> None:
    with pytest.raises(ConfigError, match=r"which others can reach; give auth\.keys_file, or listen on 127\.0\.0\.1"):
        load(f"http.host='{host}'")
    assert not load(f"http.host='{host}'", *OPEN).http.is_loopback


def test_a_missing_file_of_keys_is_told_on_loopback_too() -> None:
    with pytest.raises(ConfigError, match=r"auth\.keys_file is missing; .* auth\.disabled=true with http\.host 127"):
        load("auth.disabled=false")


def test_the_file_of_keys_is_one_path_for_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(*OPEN).keys_path == str(tmp_path / "keys.txt")
    assert load(*OPEN[:1], "auth.keys_file=/etc/keys").keys_path == "/etc/keys"
    monkeypatch.setenv("HOME", "/home/somebody")
    assert load(*OPEN[:1], "auth.keys_file='~/keys'").keys_path == "/home/somebody/keys"


@pytest.mark.parametrize("port", [1, 65535])
def test_ports_at_the_ends_are_taken(port: int) -> None:
    assert load(f"http.port={port}").http.port == port


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("http.port=0", "http.port is 0; it must be from 1 to 65535"),
        ("http.port=65536", "http.port is 65536; it must be from 1 to 65535"),
        ("http.port=-1", "http.port is -1"),
        ("http.port=http", "http.port is 'http'; a whole number is wanted"),
        ("http.port=true", "http.port is True; a whole number is wanted"),
        ("http.replicas=0", "http.replicas is 0; it must be 1 or more"),
        ("http.max_body_bytes=0", "http.max_body_bytes is 0; it must be 1 or more"),
        ("limits.queue=0", "limits.queue is 0; it must be more than 0"),
        ("limits.per_key=-1", "limits.per_key is -1; it must be more than 0"),
        ("limits.keep_s=0", "limits.keep_s is 0; it must be more than 0"),
        ("http.max_replicas=1", "http.max_replicas is 1 and http.replicas 2; it must not be less"),
        ("http.requests_of_a_replica=0", "http.requests_of_a_replica is 0; it must be 1 or more"),
        ("limits.deadline_s=0", "limits.deadline_s is 0; it must be more than 0"),
        ("limits.keep_s=.inf", "limits.keep_s is inf; a number is wanted"),
        ("limits.keep_s=.nan", "limits.keep_s is nan; a number is wanted"),
        ("http.prot=80", "unknown key http.prot; the nearest known one is http.port"),
        ("replica=3", "unknown key replica; the nearest known one is http.replicas"),
        ("auth.keys_file=x", r"auth.keys_file is given and auth.disabled is true; set auth.disabled=false"),
        ("auth.key_file=x", "the nearest known one is auth.keys_file"),
        ("limits.perkey=1", "the nearest known one is limits.per_key"),
        ("store.url=x", "unknown key store.url; the nearest known one is store.uri"),
        ("sampling.step=3", "the nearest known one is sampling.steps"),
        ("auth.disabled=1", "auth.disabled is 1; true or false is wanted"),
        ("store=null", "store is nothing; keys with values are wanted"),
        ("store.uri=s3://key:secret@bucket/x", "store.uri has : or @ where s3:// has its bucket"),
        ("model=dem", "model 'dem' is neither a known model"),
        ("gang.width=3", "a gang of 3 is wider than a domain"),
    ],
)
def test_a_bad_key_or_value_is_one_sentence(override: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(override)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_config_without_a_store_names_it(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text("auth: {disabled: true}\n")
    with pytest.raises(ConfigError, match="store is missing"):
        load_serve_config(str(file))


def test_the_shipped_file_says_every_key_of_its_own_sections() -> None:
    text = (ROOT / "configs/serve.yaml").read_text()
    for section in ("http", "store", "auth", "limits"):
        names = type(getattr(load(), section)).__dataclass_fields__
        said = text.partition(f"\n{section}:\n")[2].partition("\n\n")[0]
        assert [line.strip().partition(":")[0] for line in said.splitlines()] == list(names), section


def test_an_override_without_a_config_is_one_of_the_shipped_config() -> None:
    command = [sys.executable, "-m", "pipelines.cli", "serve", "http.prot=8201"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (2, "")
    assert "http.prot" in result.stderr
    assert "http.port" in result.stderr
