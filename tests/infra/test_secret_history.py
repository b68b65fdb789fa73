"""Nothing that git holds hides a secret: refs of all kinds, what is staged, a person's settings, forged messages."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.infra.planting import aws_key, commit, git, places, scan


def test_tags_notes_branches_and_names_of_refs_are_looked_at(repository: Path) -> None:
    branch = git(repository, "branch", "--show-current").strip()
    git(repository, "tag", "--annotate", "v1", "--message", f"the key is {aws_key()}")
    git(repository, "tag", "--annotate", "v0", "--message", f"inner {aws_key()}")
    git(repository, "tag", "--annotate", "v2", "--message", "a tag of a tag", "v0")
    git(repository, "tag", "--delete", "v0")
    git(repository, "notes", "add", "--message", f"note: {aws_key()}")
    git(repository, "tag", f"see-{aws_key()}")
    (repository / "blob").write_text(aws_key())
    git(repository, "tag", "blob", git(repository, "hash-object", "-w", "blob").strip())
    (repository / "notes.py").write_text(f"tree {aws_key()}")
    git(repository, "add", "notes.py")
    git(repository, "tag", "tree", git(repository, "write-tree").strip())
    git(repository, "reset", "--quiet", "--hard")
    git(repository, "switch", "--quiet", "--create", "other")
    (repository / "blob").write_text(f"other {aws_key()}")
    commit(repository)
    git(repository, "switch", "--quiet", branch)
    assert scan(folder=repository).returncode == 0
    done = scan("--history", folder=repository)
    found = sorted(re.sub("[0-9a-f]{40}", "…", place) for place in re.findall("Location: +(.*):[0-9]+", done.stdout))
    tags = [f"refs/tags/{name}" for name in ("blob", "tree", "v1", "v2")]
    assert found == ["commit …", "commit …", "names of refs", *tags]


def test_from_a_folder_and_with_settings_of_a_person_all_is_looked_at(repository: Path) -> None:
    (repository / "deep").mkdir()
    (repository / "deep/notes.py").write_text("x = 1\n")
    (repository / "top.py").write_text(f"# {aws_key()}\n")
    commit(repository)
    git(repository, "config", "diff.relative", "true")
    git(repository, "config", "i18n.logOutputEncoding", "UTF-16")
    assert places(scan(folder=repository / "deep")) == {"top.py:1"}
    assert scan("notes.py", folder=repository / "deep").returncode == 0
    git(repository, "rm", "--quiet", "top.py")
    git(repository, "commit", "--quiet", "--message", f"without {aws_key()}")
    done = scan("--history", folder=repository / "deep")
    assert (done.returncode, done.stdout.count("Secret Type: AWS Access Key")) == (1, 2)


def test_no_message_makes_a_finding_that_of_another_commit(repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD").strip()
    (repository / "notes.py").write_text("x = 2\n")
    message = f"a change\n\ncommit {first}\n\nof {aws_key()}"
    git(repository, "commit", "--quiet", "--all", "--message", message)
    (place,) = re.findall(r"commit (\w+):", scan("--history", folder=repository).stdout)
    assert place == git(repository, "rev-parse", "HEAD").strip()


def test_what_is_replaced_is_looked_at(repository: Path) -> None:
    (repository / "notes.py").write_text(f"# {aws_key()}\n")
    commit(repository)
    git(repository, "replace", "HEAD", "HEAD~1")
    assert scan("--history", folder=repository).returncode == 1


def test_what_is_staged_is_looked_at_too(repository: Path) -> None:
    names = ("notes.py", "gone.py", "name with\ttab.py")
    for name in names:
        (repository / name).write_text(f"# {aws_key()}\n")
    git(repository, "add", "--all")
    (repository / "gone.py").unlink()
    for name in (names[0], names[2]):
        (repository / name).write_text("x = 1\n")
    done = scan(folder=repository)
    assert sorted(re.findall("Location: +(.*):1", done.stdout)) == sorted(f"staged {name}" for name in names)


def test_of_a_merge_that_is_not_done_each_side_is_looked_at(repository: Path) -> None:
    branch = git(repository, "branch", "--show-current").strip()
    git(repository, "switch", "--quiet", "--create", "other")
    (repository / "notes.py").write_text(f"# {aws_key()}\n")
    commit(repository)
    git(repository, "switch", "--quiet", branch)
    (repository / "notes.py").write_text("x = 2\n")
    commit(repository)
    subprocess.run(["git", "merge", "--quiet", "other"], cwd=repository, capture_output=True, check=False)
    (repository / "notes.py").write_text("x = 3\n")
    assert places(scan(folder=repository)) == {"notes.py:1"}


@pytest.mark.parametrize("arguments", [("--help",), ("--history", "extra"), ("-x",)])
def test_what_is_no_usage_is_told_the_usage(arguments: tuple[str, ...], repository: Path) -> None:
    done = scan(*arguments, folder=repository)
    assert (done.returncode, done.stdout) == (2, "")
    assert ".ci/secrets --history" in done.stderr
