"""Attention along frames: every patch for itself, whatever the strides, by torch and by our kernel."""

import pytest
import torch

from actors.engine.frame_attention import MOST_FRAMES, attend_frames
from tests.actors.engine.exact_attention import exact_attention

SIZES = [(2, 15, 5, 3, 72), (1, 16, 4, 2, 64), (1, 1, 3, 2, 8), (2, 33, 2, 1, 72), (1, MOST_FRAMES + 1, 2, 1, 16)]


def draw(size: tuple[int, ...], device: str = "cpu", dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    """Queries, keys and values (B, T, S, H, E), the last two as they stand in one product's output."""
    batch, frames, patches, heads, width = size
    noise = torch.randn(batch, frames, patches, 3, heads, width, generator=torch.Generator().manual_seed(0))
    q, k, v = noise.to(device, dtype).unbind(3)
    return q.contiguous(), k, v


def exact(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q k^T / sqrt(E)) v along T, in float64."""
    return exact_attention(*(x.transpose(1, 2) for x in (q, k, v))).transpose(1, 2)


@pytest.mark.parametrize("size", SIZES)
def test_each_patch_attends_to_itself_at_all_frames(size: tuple[int, ...]) -> None:
    q, k, v = draw(size)
    assert torch.allclose(attend_frames(q, k, v).double(), exact(q, k, v), atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", SIZES)
def test_the_kernel_finds_the_same(size: tuple[int, ...], dtype: torch.dtype) -> None:
    q, k, v = draw(size, "cuda", dtype)
    found = attend_frames(q, k, v)
    assert found.dtype == dtype
    assert found.is_contiguous() or size[1] > MOST_FRAMES
    assert torch.allclose(found.double(), exact(q, k, v), atol=1e-5 if dtype == torch.float32 else 2e-2)


@pytest.mark.gpu
def test_a_graph_calls_the_kernel_as_it_is() -> None:
    q, k, v = draw(SIZES[0], "cuda", torch.bfloat16)
    called: list[object] = []

    def note(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        called.extend(node.target for node in graph.graph.nodes if node.op == "call_function")
        return graph

    traced = torch.compile(lambda *qkv: attend_frames(*qkv), fullgraph=True, backend=note)
    assert torch.equal(traced(q, k, v), attend_frames(q, k, v))
    assert called == [torch.ops.pabcast.attend_short.default]
    compiled = torch.compile(lambda *qkv: attend_frames(*qkv), fullgraph=True)
    assert torch.equal(compiled(q, k, v), attend_frames(q, k, v))


@pytest.mark.gpu
def test_numbers_of_a_head_that_stand_apart_are_read_too() -> None:
    q, k, v = (x.transpose(3, 4).contiguous().transpose(3, 4) for x in draw(SIZES[0], "cuda"))
    assert torch.allclose(attend_frames(q, k, v).double(), exact(q, k, v), atol=1e-5)
