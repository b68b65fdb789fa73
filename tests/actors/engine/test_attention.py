"""Attention of every token to every token, by torch and by FlashAttention-4."""

import pytest
import torch

from actors.engine import attention
from actors.engine.attention import attend
from tests.actors.engine.exact_attention import exact_attention

SIZES = [(1, 70, 3, 128), (2, 33, 2, 72), (3, 128, 1, 64)]


def draw(size: tuple[int, ...], device: str, dtype: torch.dtype) -> list[torch.Tensor]:
    """Queries, keys and values (B, M, H, E), which stand side by side for each token."""
    batch, tokens, heads, width = size
    noise = torch.randn(batch, tokens, 3, heads, width, generator=torch.Generator().manual_seed(0))
    return list(noise.to(device, dtype).unbind(2))


@pytest.mark.parametrize("size", SIZES)
def test_every_token_attends_to_every_token(size: tuple[int, ...]) -> None:
    q, k, v = draw(size, "cpu", torch.float32)
    assert torch.allclose(attend(q, k, v).double(), exact_attention(q, k, v), atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", SIZES)
def test_the_fastest_kernel_of_a_gpu_finds_the_same(size: tuple[int, ...], dtype: torch.dtype) -> None:
    q, k, v = draw(size, "cuda", dtype)
    found = attend(q, k, v)
    assert found.dtype == dtype
    assert torch.allclose(found.double(), exact_attention(q, k, v), atol=1e-5 if dtype == torch.float32 else 2e-2)


@pytest.mark.gpu
@pytest.mark.skipif(not attention._HAS_FLASH, reason="flash-attn-4 is not installed")
def test_flash_attention_is_used_where_it_is_installed_and_can_be_compiled_in() -> None:
    q, k, v = draw(SIZES[0], "cuda", torch.bfloat16)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
        found = torch.compile(lambda *parts: attend(*parts) + 1, fullgraph=True)(q, k, v)
    assert any("flash" in event.key.lower() and "cudnn" not in event.key.lower() for event in seen.key_averages())
    assert torch.allclose(found.double() - 1, exact_attention(q, k, v), atol=2e-2)


def test_what_flash_attention_does_not_take_goes_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_HAS_FLASH", True)
    q, k, v = draw(SIZES[1], "cpu", torch.bfloat16)
    assert torch.allclose(attend(q, k, v).double(), exact_attention(q, k, v), atol=2e-2)
