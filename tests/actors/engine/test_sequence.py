import pytest
import torch

from actors.engine.sequence import FrameParallel, spans


@pytest.mark.parametrize("total", [1, 5, 16, 17])
@pytest.mark.parametrize("parts", [1, 2, 3, 4, 5])
def test_spans_cover_everything_once_and_differ_by_at_most_one(total, parts):
    cuts = spans(total, parts)
    assert [index for start, stop in cuts for index in range(start, stop)] == list(range(total))
    lengths = [stop - start for start, stop in cuts]
    assert max(lengths) - min(lengths) <= 1
    assert lengths == sorted(lengths, reverse=True), "rank 0 holds the largest share"


def test_one_rank_exchanges_nothing_and_copies_nothing():
    alone, x = FrameParallel(16, 4), torch.randn(1, 16, 4, 8)
    assert alone.to_patches(x) is x
    assert alone.to_frames(x) is x
    assert alone.collectives.all_to_all.calls == 0
