"""Keys by their digests: who is let in, and which files are none."""

import hashlib
from pathlib import Path

import pytest

from cluster.errors import ConfigError
from pipelines.serving.keys import ANYONE, Keys


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Of two people."""
    file = tmp_path / "keys.txt"
    file.write_text(f"# who may ask\n\nann:{digest('key-a')}\n  bob.2:{digest('key-b').upper()}  # till May\n")
    return Keys.read(str(file))


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Bearer key-a", "ann"),
        ("Bearer key-b", "bob.2"),
        ("bearer key-a", "ann"),
        ("BEARER   key-a  ", "ann"),
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer key-c", None),
        ("Bearer KEY-A", None),
        ("Bearer key-a key-b", None),
        ("Basic key-a", None),
        ("key-a", None),
        ("Bearer ann", None),
        ("Bearer \xff\xfe", None),
        ("Bearer " + "x" * 100_000, None),
    ],
)
def test_a_known_key_is_let_in_by_its_name(keys: Keys, header: str | None, name: str | None) -> None:
    assert keys.name_of(header) == name


def test_a_digest_is_no_key(keys: Keys) -> None:
    assert keys.name_of(f"Bearer {digest('key-a')}") is None


@pytest.mark.parametrize("header", [None, "", "Bearer anything", "Basic x"])
def test_anybody_is_let_in_where_no_key_is_wanted(header: str | None) -> None:
    assert Keys.read(None).name_of(header) == ANYONE


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("ann", 1),
        ("ann:key-a", 1),
        (f"ann:{'0' * 63}", 1),
        (f"ann:{'0' * 65}", 1),
        (f"ann:{'g' * 64}", 1),
        (f"ann smith:{'0' * 64}", 1),
        (f":{'0' * 64}", 1),
        (f"{'a' * 65}:{'0' * 64}", 1),
        (f"ann: {'0' * 64}", 1),
        (f"ann:{'0' * 64} bob:{'1' * 64}", 1),
        (f"ann:{'0' * 64}\n# remark\n\nbob", 4),
    ],
)
def test_a_line_that_is_no_key_is_told_by_its_number(tmp_path: Path, line: str, number: int) -> None:
    file = tmp_path / "keys.txt"
    file.write_text(line)
    with pytest.raises(ConfigError, match=f"^line {number} of auth.keys_file .* is not name:sha256-of-key") as raised:
        Keys.read(str(file))
    assert "\n" not in str(raised.value)


def test_the_sentence_about_a_bad_line_does_not_repeat_it(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    file.write_text("ann:the-key-itself")
    with pytest.raises(ConfigError) as raised:
        Keys.read(str(file))
    assert "the-key-itself" not in str(raised.value)


def test_a_name_that_comes_twice_is_told(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    file.write_text(f"ann:{'0' * 64}\nann:{'1' * 64}\n")
    with pytest.raises(ConfigError, match="has the name ann twice"):
        Keys.read(str(file))


@pytest.mark.parametrize("content", ["", "\n\n", "# ann:later\n"])
def test_a_file_without_a_key_is_told(tmp_path: Path, content: str) -> None:
    file = tmp_path / "keys.txt"
    file.write_text(content)
    with pytest.raises(ConfigError, match="has no key; nobody could use the endpoint"):
        Keys.read(str(file))


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("none", "binary", "."):
        with pytest.raises(ConfigError, match=r"auth\.keys_file .* cannot be read: "):
            Keys.read(str(tmp_path / name))


def test_the_keys_are_in_no_attribute_and_no_repr(keys: Keys) -> None:
    assert "key-a" not in repr(keys)
    assert "key-a" not in str(vars(keys))
