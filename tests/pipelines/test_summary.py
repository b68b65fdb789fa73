"""What a job tells at its end."""

from typing import get_args

from actors.job import Cause
from pipelines.summary import LOST_TO


def test_every_cause_of_a_lost_gang_has_words() -> None:
    assert set(LOST_TO) == set(get_args(Cause))
