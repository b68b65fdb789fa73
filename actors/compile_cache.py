"""Where compiled kernels are kept."""

import os
from pathlib import Path


def keep_compiled(folder: str | None) -> None:
    """Have torch and FlashAttention keep what they compile in `folder`, or each in its own one of this machine.

    They read this as they are imported.
    """
    os.environ.setdefault("FLASH_ATTENTION_CUTE_DSL_CACHE_ENABLED", "1")
    if folder is not None:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        os.environ["FLASH_ATTENTION_CUTE_DSL_CACHE_DIR"] = str(Path(folder, "flash_attention"))
