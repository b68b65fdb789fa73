"""Where compiled kernels are kept, as the libraries that compile are told."""

import os
from pathlib import Path

import pytest

from actors.compile_cache import keep_compiled

NAMES = ("TORCHINDUCTOR_CACHE_DIR", "FLASH_ATTENTION_CUTE_DSL_CACHE_DIR")


@pytest.mark.parametrize("folder", [None, "/cache"])
def test_both_libraries_keep_what_they_compile_in_the_folder_if_there_is_one(
    monkeypatch: pytest.MonkeyPatch, folder: str | None
) -> None:
    for name in (*NAMES, "FLASH_ATTENTION_CUTE_DSL_CACHE_ENABLED"):
        monkeypatch.setenv(name, "")  # so that it is as before afterwards
        monkeypatch.delenv(name)
    keep_compiled(folder)
    kept = [os.environ.get(name) for name in NAMES]
    assert kept == ([None, None] if folder is None else [folder, str(Path(folder, "flash_attention"))])
    assert os.environ["FLASH_ATTENTION_CUTE_DSL_CACHE_ENABLED"] == "1"
