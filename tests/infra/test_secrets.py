"""The scan for secrets finds them, in files and in what was committed once, and finds none in this repository."""

import io
import re
import secrets
import shutil
import string
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.infra.planting import aws_key, commit, git, lines_of, made_up, mixed, places, scan

KINDS = {
    "AWS Access Key": lambda: f"bucket owner: {aws_key()}",
    "Secret Keyword": lambda: f"aws_secret_access_key = '{made_up(string.ascii_letters, 40)}'",
    "Private Key": lambda: "-----BEGIN RSA " + "PRIVATE KEY-----",
    "Hex High Entropy String": lambda: f"it = '{secrets.token_hex(32)}'",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_secret_is_found(kind: str, repository: Path) -> None:
    planted = repository / "notes.py"
    planted.write_text(f"x = 1\n{KINDS[kind]()}\n")
    done = scan(planted, folder=repository)
    assert done.returncode == 1
    assert f"Secret Type: {kind}" in done.stdout
    assert "notes.py:2" in done.stdout


def test_a_secret_that_was_committed_once_is_found_in_the_history(repository: Path) -> None:
    assert scan("--history", folder=repository).returncode == 0
    (repository / "notes.py").write_text(KINDS["AWS Access Key"]())
    commit(repository)
    assert scan(folder=repository).returncode == 1
    (repository / "notes.py").write_text("x = 1\n")
    commit(repository)
    assert scan(folder=repository).returncode == 0
    done = scan("--history", folder=repository)
    assert done.returncode == 1
    assert "AWS Access Key" in done.stdout


PREFIXES = ("sk-ant-api03-", "sk-proj-", "sk-", "hf_", "ghp_", "github_pat_", "glpat-", "AIzaSyB", "xoxb-")
VALUES = (
    "AWS_SECRET_ACCESS_KEY={}",
    "export AWS_SECRET_ACCESS_KEY={}",
    "ENV HF_TOKEN {}",
    "password: {}",
    "# secret_key = {}",
)
WAVED = (
    "key = '{}'  # pragma: allowlist secret",
    "key = '{}'  # pragma: whitelist secret",
    "# pragma: allowlist nextline secret\nkey = '{}'",
    "client = connect(aws_access_key_id='{}')",
)


def png_with(text: str) -> bytes:
    file, chunk = io.BytesIO(), PngInfo()
    chunk.add_text("Comment", text)
    Image.new("RGB", (4, 4)).save(file, "PNG", pnginfo=chunk)
    return file.getvalue()


def test_a_key_is_found_without_a_name_before_it_and_a_value_without_quotes(repository: Path) -> None:
    keys = [f"see {prefix}{mixed(40 if prefix != 'AIzaSyB' else 32)} there" for prefix in PREFIXES if prefix != "xoxb-"]
    keys.append(f"see xoxb-{made_up(string.digits, 12)}-{made_up(string.digits, 12)}-{mixed(24)} there")
    (repository / "notes.md").write_text("\n".join([*keys, *(value.format(mixed(40)) for value in VALUES)]))
    done = scan("notes.md", folder=repository)
    assert lines_of(done, "notes.md") == set(range(1, len(keys) + len(VALUES) + 1))


def test_names_that_only_begin_or_sound_like_keys_are_none(repository: Path) -> None:
    innocent = [
        "sk-a-class-of-a-long-name-in-css",
        "task-0123456789012345678901234",
        "secret = read_from_the_environment()",
    ]
    (repository / "notes.md").write_text("\n".join([*innocent, "token: the-one-of-the-cluster-that-asks-for-it"]))
    assert scan("notes.md", folder=repository).returncode == 0


def test_no_comment_and_no_call_around_it_waves_a_secret_through(repository: Path) -> None:
    for number, line in enumerate(WAVED):
        (repository / f"{number}.py").write_text(line.format(aws_key()))
    (repository / "job.yaml").write_text(f"model: demo  # {aws_key()}\n")
    git(repository, "add", "--all")
    found = {place.partition(":")[0] for place in places(scan(folder=repository))}
    assert found == {*(f"{number}.py" for number in range(len(WAVED))), "job.yaml"}


def test_no_kind_of_file_hides_a_secret_and_none_is_printed(repository: Path) -> None:
    keys = [aws_key() for _ in range(10)]
    files = {
        "picture.svg": f"<svg><desc>{keys[0]}</desc></svg>".encode(),
        "picture.png": png_with(keys[1]),
        "weights.bin": b"\0\1\xff" * 40 + keys[2].encode() + b"\xfe\0",
        "notes.txt": f"key: {keys[3]}\n".encode("utf-16"),
        "latin.txt": f"Schlüssel: {keys[4]}\n".encode("latin-1"),
        "poetry.lock": keys[5].encode(),
        "swagger.json": f'{{"example": "{keys[6]}"}}'.encode(),
        "infra/image/requirements-other.lock": keys[7].encode(),
    }
    for name, content in files.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_bytes(content)
    (repository / "link").symlink_to(keys[8])
    (repository / f"{keys[9]}.txt").touch()
    commit(repository)
    done = scan(folder=repository)
    assert {place.rpartition(":")[0] for place in places(done)} >= {*files, "link"}
    assert "Location:    names of files:" in done.stdout
    past = scan("--history", folder=repository)
    assert past.stdout.count("Location:    commit ") >= len(keys)
    assert not any(key in done.stdout + done.stderr + past.stdout + past.stderr for key in keys)


def test_what_was_there_once_is_found_in_pictures_names_and_messages_too(repository: Path) -> None:
    (repository / "picture.png").write_bytes(png_with(aws_key()))
    commit(repository)
    (repository / "picture.png").unlink()
    (repository / f"{aws_key()}.txt").touch()
    commit(repository)
    (repository / "notes.py").write_text("x = 2\n")
    git(repository, "rm", "--quiet", "*.txt")
    git(repository, "commit", "--all", "--quiet", "--message", f"no more of {aws_key()}")
    assert scan(folder=repository).returncode == 0
    done = scan("--history", folder=repository)
    assert (done.returncode, done.stdout.count("Secret Type: AWS Access Key")) == (1, 3)
    named = re.findall(r"Location: +commit (\w+):", done.stdout)
    assert sorted(named) == sorted(git(repository, "rev-list", "HEAD~3..HEAD").split())


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("ls-files", ()),
        ("diff", ()),
        ("rev-parse", ()),
        ("log", ("--history",)),
        ("for-each-ref", ("--history",)),
        ("rev-parse", ("--history",)),
    ],
)
def test_a_git_that_fails_is_no_clean_scan(command: str, arguments: tuple[str, ...], repository: Path) -> None:
    broken = repository / "tools/git"
    broken.parent.mkdir()
    whole = shutil.which("git")
    broken.write_text(f'#!/bin/sh\ncase " $* " in *" {command} "*) echo broken >&2; exit 3;; esac\nexec {whole} "$@"\n')
    broken.chmod(0o755)
    done = scan(*arguments, folder=repository, tools=broken.parent)
    assert (done.returncode, "ended with 3: broken" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr


def test_what_cannot_be_looked_at_is_no_clean_scan(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert scan("none.txt", folder=repository).returncode == 2
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert scan(folder=elsewhere).returncode == 2
    git(elsewhere, "init", "--quiet", "empty")
    assert scan("--history", folder=elsewhere / "empty").returncode == 2
    (repository / "notes.py").write_text("x = 2\n")
    commit(repository)
    git(elsewhere, "clone", "--quiet", "--depth=1", f"file://{repository}", "shallow")
    done = scan("--history", folder=elsewhere / "shallow")
    assert (done.returncode, "git fetch --unshallow" in done.stderr) == (2, True)
