"""Ulysses exchanges by real gloo ranks: what arrives, what it costs, what is refused."""

import pytest
import torch
import torch.distributed as dist

from actors.engine.collectives import Collectives
from actors.engine.patches import PatchGrid
from actors.engine.token_parallel import TokenParallel
from cluster.errors import ConfigError, RequestError
from cluster.forecast import CollectiveCount
from tests.actors.engine.ranks import run_ranks

LATENTS = torch.arange(2 * 3 * 4 * 6.0).reshape(1, 2, 3, 4, 6)
GRID = PatchGrid.over(LATENTS, (1, 2, 2))
HEADS, WIDTH = 12, 4
TEXTS = (0, 5, 20)


def tokens(text: int) -> torch.Tensor:
    """Every number of every head of every token another, (2, M, H, E)."""
    return torch.randn(2, text + GRID.num_tokens, HEADS, WIDTH, generator=torch.Generator().manual_seed(text))


def rank_of_gangs(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    counts = {}
    for width in (2, 3, 4):
        group = dist.new_group(list(range(width)))
        for text in TEXTS if rank < width else ():
            counts[width, text] = exchange(TokenParallel(GRID, HEADS, Collectives(group), text_tokens=text), text)
    if rank == 0:
        torch.save(counts, f"{folder}/counts.pt")
    dist.barrier()
    dist.destroy_process_group()


def exchange(parallel: TokenParallel, text: int) -> tuple[CollectiveCount, CollectiveCount]:
    whole = tokens(text)
    mine = torch.cat([whole[:, parallel.text], whole[:, text:][:, parallel.video]], dim=1)
    share = HEADS // parallel.collectives.width
    heads = slice(parallel.collectives.rank * share, (parallel.collectives.rank + 1) * share)
    q_BMgE, k_BMgE, v_BMgE = parallel.to_heads(mine, 2 * mine, 3 * mine)
    assert torch.equal(q_BMgE, whole[:, :, heads])
    assert torch.equal(k_BMgE, 2 * whole[:, :, heads])
    assert torch.equal(v_BMgE, 3 * whole[:, :, heads])
    assert torch.equal(parallel.to_tokens(q_BMgE), mine)
    assert torch.equal(parallel.gather(parallel.share(LATENTS)), LATENTS)
    return parallel.collectives.all_to_all, parallel.collectives.all_gather


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exchange")
    run_ranks(rank_of_gangs, (4, str(folder)), 4)
    return torch.load(folder / "counts.pt", weights_only=False)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("width", [2, 3, 4])
def test_exchanges_bring_what_belongs_there_and_cost_what_paper_says(counts, width, text):
    """With 20 tokens of text and 18 of video, rank 0 holds text alone."""
    all_to_all, all_gather = counts[width, text]
    every = text + GRID.num_tokens
    share = -(-every // width)
    assert all_to_all == CollectiveCount(
        calls=2, bytes=2 * 4 * WIDTH * HEADS * 3 * share + 2 * 4 * WIDTH * HEADS * every // width
    )
    assert all_gather == CollectiveCount(calls=1, bytes=max(0, share - text) * 8 * 4)


@pytest.mark.parametrize("text", TEXTS)
def test_alone_it_exchanges_nothing_and_copies_nothing(text):
    alone, x = TokenParallel(GRID, HEADS, text_tokens=text), tokens(text)
    assert all(part is x for part in alone.to_heads(x, x))
    assert alone.to_tokens(x) is x
    assert (alone.text, alone.video) == (slice(0, text), slice(0, GRID.num_tokens))
    assert torch.equal(alone.gather(alone.share(LATENTS)), LATENTS)
    assert alone.collectives.all_to_all.calls == alone.collectives.all_gather.calls == 0


def test_heads_that_do_not_divide_are_refused_with_the_widths_that_do():
    class EightRanks:
        def size(self):
            return 8

        def rank(self):
            return 0

    with pytest.raises(ConfigError, match="12 heads do not divide over 8 ranks; use one of 1, 2, 3, 4, 6, 12"):
        TokenParallel(GRID, HEADS, Collectives(EightRanks()))


@pytest.mark.parametrize("patch", [(1, 2, 2), (3, 1, 2)])
def test_a_patch_is_a_window_of_the_convolution_that_embeds_it(patch):
    convolution = torch.nn.Conv3d(2, 5, kernel_size=patch, stride=patch)
    patches_BNV = PatchGrid.over(LATENTS, patch).cut(LATENTS)
    ours = torch.nn.functional.linear(patches_BNV, convolution.weight.flatten(1), convolution.bias)
    # 1e-5: float32 sums in another order.
    torch.testing.assert_close(ours, convolution(LATENTS).flatten(2).transpose(1, 2), rtol=1e-5, atol=1e-5)


def test_latents_that_do_not_divide_into_patches_are_refused():
    with pytest.raises(RequestError, match=r"3x4x6 .* do not divide into patches of 2x2x2"):
        PatchGrid.over(LATENTS, (2, 2, 2))
