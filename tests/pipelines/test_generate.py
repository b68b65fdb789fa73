"""Where `pabcast generate` writes, and what it refuses to write over."""

import os
import sys
from pathlib import Path

import pytest

from cluster.errors import ConfigError, StoreError
from pipelines.commands.generate import _slug, _write_new, generate
from pipelines.given_paths import check_writable


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A red circle, moving left!", "a-red-circle-moving-left"),
        ("красный круг", "красный-круг"),
        ("赤い丸", "赤い丸"),
        ("लाल वृत्त", "लाल-वृत्त"),
        ("../../etc/passwd\0", "etc-passwd"),
        ("!?", "video"),
        ("円" * 100, "円" * 40),
    ],
)
def test_a_file_is_named_by_its_prompt_in_any_script(prompt: str, name: str) -> None:
    assert _slug(prompt) == name


def test_a_name_that_is_taken_is_not_written_over(tmp_path: Path) -> None:
    written = [_write_new(tmp_path / "cat-7.mp4", data).name for data in (b"one", b"two", b"three")]
    assert written == ["cat-7.mp4", "cat-7-2.mp4", "cat-7-3.mp4"]
    assert (tmp_path / "cat-7.mp4").read_bytes() == b"one"


@pytest.mark.parametrize("latents", ["x.mp4", "./sub/../x.mp4", "link"])
def test_the_latents_do_not_go_where_the_video_goes(tmp_path: Path, tiny_model: Path, latents: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "x.mp4")
    with pytest.raises(ConfigError, match=r"--save-latents and the video are both .*x\.mp4; give the latents a file"):
        generate("a cat", model=str(tiny_model), out=tmp_path / "x.mp4", save_latents=tmp_path / latents)


def test_a_file_that_cannot_be_written_is_told_before_the_video_is_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):  # a program that runs, root cannot write either
        check_writable(Path(sys.executable).resolve(), "--save-latents")
    os.mkfifo(tmp_path / "x.mp4")
    with pytest.raises(ConfigError, match="is a pipe or a device"):
        check_writable(tmp_path / "x.mp4", "--out")
    with pytest.raises(ConfigError, match=r"too long: one of its names has 304 bytes of at most 255"):
        check_writable(tmp_path / f"{'x' * 300}.mp4", "--out")
