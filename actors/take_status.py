"""A pool's status, taken from its parts."""

import os
import time

from actors.dispatcher import Dispatcher
from actors.member import Member
from actors.spec import PoolSpec
from actors.status import DomainStatus, LineStatus, MemberStatus, PoolStatus


def take_status(spec: PoolSpec, dispatcher: Dispatcher, phase: str) -> PoolStatus:
    """The pool at this moment."""
    gangs, domains = tuple(dispatcher.gangs), dispatcher.domains
    now = time.monotonic()
    tally, clock = dispatcher.tally, dispatcher.clock
    states = {member: "busy" if busy else "idle" for gang, busy in gangs for member in gang.members}
    return PoolStatus(
        phase=phase,
        pid=os.getpid(),
        workers=spec.workers,
        busy_workers=sum(gang.width for gang, busy in gangs if busy),
        busy_gangs=sum(busy for _, busy in gangs),
        gangs=tuple((gang.width, busy) for gang, busy in gangs),
        queued=len(dispatcher.queue),
        lines=tuple(
            LineStatus(priority=priority, width=width, waiting=count)
            for (priority, width), count in sorted(dispatcher.queue.counts().items())
        ),
        domains=tuple(
            DomainStatus(name=domain.name, workers=domain.width, phase=domain.phase, market=domain.market)
            for domain in domains
        ),
        done=tally.done,
        failed=tally.failed,
        cancelled=tally.cancelled,
        resumed=tally.resumed,
        reshaped=tally.reshaped,
        widened=tally.widened,
        handed_over=tally.handed_over,
        snapshots=tally.snapshots,
        retries=dict(tally.retries),
        generation=dispatcher.generation,
        gang_busy_seconds=clock.busy_seconds(now),
        gang_seconds=clock.span_seconds(now),
        gpu_seconds=domains.worker_seconds(now),
        budget_gpu_seconds=None if spec.scale.budget_gpu_hours is None else spec.scale.budget_gpu_hours * 3600,
        members=tuple(
            _member_status(domain.members[bundle], states) for domain in domains for bundle in sorted(domain.members)
        ),
    )


def _member_status(member: Member, states: dict[Member, str]) -> MemberStatus:
    state = states.get(member, "free")
    if not member.loaded:
        state = "loading" if member.pid else "starting"
    return MemberStatus(index=member.index, domain=member.domain, node=member.node, pid=member.pid, state=state)
