"""How long workers take for a set of videos."""

import pytest

from cluster.makespan import Batch, makespan


@pytest.mark.parametrize(
    ("batches", "domains", "seconds"),
    [
        ([], 4, 0.0),
        ([(9, 1, 10.0)], 8, 20.0),  # a second round for the ninth
        ([(8, 1, 10.0)], 8, 10.0),
        ([(1, 1, 10.0)], 8, 10.0),  # nobody helps
        ([(3, 2, 10.0)], 5, 20.0),  # two gangs and an idle worker
        ([(2, 1, 10.0), (2, 1, 4.0)], 2, 14.0),
        ([(1, 1, 10.0), (2, 1, 5.0)], 2, 10.0),  # both short ones beside the long one
        ([(1, 2, 6.0), (2, 1, 5.0)], 2, 11.0),
        ([(1, 2, 6.0), (2, 1, 5.0)], 4, 6.0),
        ([(6, 2, 4.5)], (3, 3), 13.5),  # one gang of two in each domain, though three would fit six workers
        ([(6, 3, 1.0)], (5, 5), 3.0),
        ([(2, 2, 9.0), (2, 1, 4.0)], (3, 2), 9.0),  # the short ones on the worker that no gang of two can have
        ([(2, 2, 9.0)], (1, 2), 18.0),  # a domain that is too small has none
        ([(1000, 1, 1.0), (3, 2, 100.0)], (2, 2, 2), 267.0),
    ],
)
def test_videos_are_packed_the_longest_first(
    batches: list[tuple[int, int, float]], domains: int | tuple[int, ...], seconds: float
) -> None:
    given = [Batch(videos=videos, width=width, seconds=each) for videos, width, each in batches]
    assert makespan(given, (domains,) if isinstance(domains, int) else domains) == pytest.approx(seconds)


def test_a_million_videos_are_added_up_without_being_dealt_out() -> None:
    batches = [Batch(videos=1_000_000, width=width, seconds=2.0) for width in (1, 2, 4)]
    assert makespan(batches, [64]) == pytest.approx(2.0 * (15625 + 31250 + 62500))
