"""Many who ask about jobs at once are one question to the clerk."""

import asyncio
from collections.abc import Mapping

import pytest

from pipelines.serving.looks import Looks
from pipelines.serving.queue import Look


def look(step: int) -> Look:
    return Look(
        status="in_progress", step=step, steps=9, queue_position=None, eta_s=1.0, gang=1, reason="", preview=None
    )


class Asked:
    """Keeps what it is asked; each answer is the number of the question, and comes when it is let go."""

    def __init__(self) -> None:
        self.questions: list[list[str]] = []
        self.go = asyncio.Event()

    async def __call__(self, job_ids: list[str]) -> Mapping[str, Look]:
        self.questions.append(job_ids)
        number = len(self.questions)
        await self.go.wait()
        if "bad" in job_ids:
            raise ConnectionError("no clerk")
        return {job_id: look(number) for job_id in job_ids if job_id != "ended"}


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_who_asks_while_an_answer_is_on_its_way_is_in_the_next_question() -> None:
    async def seen() -> tuple[list[list[str]], list[dict[str, Look]]]:
        asked = Asked()
        looks = Looks(asked)
        first = asyncio.ensure_future(looks.of(["a"]))
        await settle()
        later = [asyncio.ensure_future(looks.of(ids)) for ids in (["a"], ["b", "ended"], ["a", "b"])]
        await settle()
        asked.go.set()
        return asked.questions, await asyncio.gather(first, *later)

    questions, answers = asyncio.run(seen())
    assert questions == [["a"], ["a", "b", "ended"]]
    assert answers == [{"a": look(1)}, {"a": look(2)}, {"b": look(2)}, {"a": look(2), "b": look(2)}]


def test_nobody_is_asked_about_nothing() -> None:
    async def seen() -> tuple[list[list[str]], dict[str, Look]]:
        asked = Asked()
        return asked.questions, await Looks(asked).of([])

    assert asyncio.run(seen()) == ([], {})


def test_a_failure_is_that_of_one_question() -> None:
    async def seen() -> dict[str, Look]:
        asked = Asked()
        asked.go.set()
        looks = Looks(asked)
        with pytest.raises(ConnectionError, match="no clerk"):
            await looks.of(["bad"])
        return await looks.of(["a"])

    assert asyncio.run(seen()) == {"a": look(2)}


def test_one_who_goes_away_takes_nobodys_answer_along() -> None:
    async def seen() -> dict[str, Look]:
        asked = Asked()
        looks = Looks(asked)
        gone, stays = asyncio.ensure_future(looks.of(["a"])), asyncio.ensure_future(looks.of(["b"]))
        await settle()
        gone.cancel()
        await settle()
        asked.go.set()
        return await stays

    assert asyncio.run(seen()) == {"b": look(1)}
