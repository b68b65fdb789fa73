"""The gang: a lease on some workers that form one process group."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import ray

from actors.engine.snapshot import Snapshot, join_parts
from actors.figures import Figures
from actors.member import Member
from actors.order import Order, RankAnswer
from actors.rank_watch import RankWatch
from actors.seat import Seat
from cluster.errors import Cancelled, GangError, HandedOver, PabcastError, RequestError

log = logging.getLogger("pabcast.gang")

FORM_TIMEOUT_S = 60.0
"""Forming a group takes 20-500 ms among healthy workers."""
FAIL_GRACE_S = 5.0
"""How long the other ranks may take to come to the same error as the first."""
DEATH_NEWS_S = 1.5
"""How long Ray may take to tell that a process is gone."""
HOLD_TIMEOUT_S = 5.0
"""How long a rank may take to say that it holds."""
_POLL_S = 0.25

After = Literal["keep", "reform", "replace"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended, and what is to be done with the gang: keep it, re-form its group, or replace its workers."""

    error: PabcastError | None
    parts: tuple[tuple[int, Any], ...] = ()
    """(first frame, reference to a rank's pixels)."""
    report: bytes = b""
    after: After = "keep"
    snapshot: Snapshot | None = None
    """Where another gang can go on, if this one broke or handed the run over."""
    snapshots: int = 0
    """How many were taken."""
    figures: Figures = field(default_factory=Figures)


class Gang:
    """Workers leased together; every life of its group has its own generation."""

    def __init__(self, members: tuple[Member, ...], generation: int, step_timeout_s: float) -> None:
        self.members = members
        self.name = self.generation = generation
        self.extra: list[Member] = []
        """Workers kept for the gang that its video moves to."""
        self.leaving = False
        """Whether its video has been told to leave."""
        self._step_timeout_s = step_timeout_s
        self._must_die = ""
        self._ticket = ""
        self.watch: RankWatch | None = None

    @property
    def width(self) -> int:
        """How many workers."""
        return len(self.members)

    @property
    def domain(self) -> int:
        """The name of the domain that its workers belong to."""
        return self.members[0].domain

    async def form(self, generation: int) -> None:
        """Leave what groups there were and form this one; no model is loaded anew.

        Raises:
            GangError: a worker died or did not come within a minute; all of them are to be replaced.
        """
        self.generation = generation
        try:
            await asyncio.wait_for(self._form(), FORM_TIMEOUT_S)
        except TimeoutError:
            raise GangError(f"{self._name()} did not form within {FORM_TIMEOUT_S:g} s") from None
        except ray.exceptions.RayError as error:
            raise GangError(f"{self._name()} could not form: {_first_line(error)}") from error

    async def _form(self) -> None:
        handles = [member.handle for member in self.members]
        await asyncio.gather(*(handle.reset.remote(self.generation) for handle in handles))
        if self.width == 1:
            return
        timeout_s = max(2 * self._step_timeout_s, FORM_TIMEOUT_S)
        host, port = await handles[0].open_store.remote(self.width, timeout_s)
        seats = (
            Seat(generation=self.generation, rank=rank, width=self.width, host=host, port=port, timeout_s=timeout_s)
            for rank in range(self.width)
        )
        await asyncio.gather(*(handle.join.remote(seat) for handle, seat in zip(handles, seats, strict=True)))

    async def run(self, order: Order) -> Outcome:
        """Run one request on all ranks and watch over them; never waits for a collective's own time-out."""
        refs = [member.handle.generate.remote(order, self.generation) for member in self.members]
        self._must_die, self._ticket = "", order.ticket
        self.leaving = False
        self.watch = watch = RankWatch(self.members, order, self._step_timeout_s)
        answers: dict[int, RankAnswer] = {}
        pending = {asyncio.ensure_future(small): rank for rank, (_, small) in enumerate(refs)}
        first_error_s: float | None = None
        try:
            while pending:
                done, _ = await asyncio.wait(pending, timeout=_POLL_S, return_when=asyncio.FIRST_COMPLETED)
                answers |= {rank: watch.answer_of(rank, task) for task in done for rank in [pending.pop(task)]}
                if pending and _fatal(answers):
                    # The peers of a rank that dies fail first; wait a moment for the death to be known.
                    done, _ = await asyncio.wait(pending, timeout=DEATH_NEWS_S)
                    answers |= {rank: watch.answer_of(rank, task) for task in done for rank in [pending.pop(task)]}
                broken = bool(pending) or any(answer.died for answer in answers.values())
                fatal = self._must_die or (broken and _fatal(answers)) or watch.hung(pending.values())
                if fatal:
                    return self._broken(fatal, answers)
                if pending and _alone(answers):
                    first_error_s = first_error_s or watch.now()
                    if watch.now() - first_error_s > FAIL_GRACE_S:
                        return self._left_alone(answers)
        finally:
            for task in pending:
                task.cancel()
            watch.close()
        return self._settled([pixels for pixels, _ in refs], answers)

    async def stop(self, order: Order) -> None:
        """Make all ranks leave `order` at the same step boundary, without a collective."""
        await self._brake(order, lambda handle, begun: handle.stop_at.remote(order.ticket, begun + 1))

    async def hand_over(self, order: Order) -> None:
        """Make all ranks leave `order` before the same full step, where another gang can go on with it."""
        self.leaving = True
        await self._brake(order, lambda handle, begun: handle.hand_over_after.remote(order.ticket, begun))

    async def _brake(self, order: Order, leave: Callable[[Any, int], Any]) -> None:
        """Hold every rank, then tell each to leave after the last step that any has begun."""
        handles = [member.handle for member in self.members]
        try:
            holding = asyncio.gather(*(handle.hold.remote(order.ticket) for handle in handles))
            begun = await asyncio.wait_for(holding, HOLD_TIMEOUT_S)
            leaving = asyncio.gather(*(leave(handle, max(begun)) for handle in handles))
            await asyncio.wait_for(leaving, HOLD_TIMEOUT_S)
        except (TimeoutError, ray.exceptions.RayError) as error:
            if self._ticket == order.ticket:
                self._must_die = f"{self._name()} could not be stopped between steps: {_first_line(error)}"

    def dissolve(self) -> None:
        """Let the workers go; their group is destroyed on all of them."""
        for member in self.members:
            member.handle.leave.remote(self.generation)

    def kill(self) -> None:
        """Kill every rank's process."""
        for member in self.members:
            member.kill()

    def _broken(self, message: str, answers: dict[int, RankAnswer]) -> Outcome:
        self.kill()
        log.warning("%s; its %d workers are replaced", message, self.width)
        errors = [answer.error for answer in answers.values() if isinstance(answer.error, RequestError)]
        # A rank out of memory leaves its peers with a broken group: the video's error is the first one's.
        snapshot = self.watch.snapshot if self.watch and not errors else None
        error = errors[0] if errors else GangError(message)
        return Outcome(error=error, after="replace", snapshot=snapshot, snapshots=self._snapshots())

    def _snapshots(self) -> int:
        return self.watch.snapshots if self.watch else 0

    def _left_alone(self, answers: dict[int, RankAnswer]) -> Outcome:
        rank, error = next((rank, answer.error) for rank, answer in sorted(answers.items()) if answer.error)
        return self._broken(f"rank {rank} of {self.width} failed alone: {error}", answers)

    def _settled(self, pixels: list[Any], answers: dict[int, RankAnswer]) -> Outcome:
        errors = [answer.error for _, answer in sorted(answers.items()) if answer.error]
        taken = self._snapshots()
        if not errors:
            parts = tuple((answers[rank].first_frame, pixels[rank]) for rank in range(self.width))
            first = answers[0]
            return Outcome(error=None, parts=parts, report=first.report, snapshots=taken, figures=first.figures)
        left = [error for error in errors if isinstance(error, Cancelled | HandedOver)]
        handed = join_parts(answer.part for answer in answers.values() if answer.part)
        requested = [error for error in errors if isinstance(error, RequestError)]
        # Ranks that were stopped left at the same step; after any other error their collectives may be out of step.
        in_step = self.width in (1, len(left))
        after: After = "keep" if in_step else "reform"
        return Outcome(error=(requested or errors)[0], after=after, snapshot=handed, snapshots=taken)

    def _name(self) -> str:
        workers = ", ".join(str(member.index) for member in self.members)
        return f"gang {self.generation} of workers {workers}"


def _fatal(answers: dict[int, RankAnswer]) -> str:
    """The message of a rank that failed for no fault of the request, of one that died if there is one."""
    failed = [answer for answer in answers.values() if isinstance(answer.error, GangError)]
    return next((str(answer.error) for answer in sorted(failed, key=lambda answer: not answer.died)), "")


def _alone(answers: dict[int, RankAnswer]) -> bool:
    """Whether some rank ended with an error of the request; one that was asked to stop may have peers behind it."""
    return any(answer.error and not isinstance(answer.error, Cancelled | HandedOver) for answer in answers.values())


def _first_line(error: BaseException) -> str:
    with contextlib.suppress(IndexError):
        return str(error).strip().splitlines()[0]
    return type(error).__name__
