"""`pabcast bench pool`."""

import math
from typing import TYPE_CHECKING, Annotated, Any

import psutil
import typer

from pipelines.bench_pool import PoolBench
from pipelines.commands.output import JsonFlag, VerboseFlag, print_json, tell
from pipelines.progress import counting

if TYPE_CHECKING:
    from pipelines.bench_pool import Measured, Phase


def pool(
    workers: Annotated[int, typer.Option("--workers", help="Simulated workers; each is a process of its own.")] = 64,
    seconds: Annotated[float, typer.Option("--seconds", help="How long a simulated video takes.")] = 0.5,
    queue: Annotated[int, typer.Option("--queue", help="Rows of the long queue.")] = 1_000_000,
    measure: Annotated[float, typer.Option("--measure", help="Seconds of each phase's steady state.")] = 30.0,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Measure the pool on workers that sleep instead of making videos, its requests streamed through Ray Data.

    Three phases, each left when its time is over: a long queue, one of as few rows as last for the time, and
    videos that take no time at all, for the most leases a second.

    Example: pabcast bench pool --workers 64 --seconds 0.5 --queue 1000000
    """
    wanted = PoolBench(workers=workers, seconds=seconds, queue=queue, measure=measure)
    wanted.check_room(psutil.virtual_memory().available)
    # Ray takes seconds to import: only once the flags are known to be good.
    from pipelines.bench_pool_run import measure_pool

    with counting("seconds", 3 * math.ceil(measure)) as advance:
        found = measure_pool(wanted, advance)
    tell(_spell(found), as_json=as_json)
    if as_json:
        print_json(_contract(wanted, found))


def _spell(found: "Measured") -> str:
    long = found.long
    lines = [
        f"{long.workers} simulated workers of {found.worker_mb:.0f} MB, ready after {found.start_s:.1f} s",
        "| rows | video, s | leases a second | workers busy | with a lease | rows read ahead "
        "| pool, MB | driver, MB | submitters, MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_spell_phase(phase) for phase in (long, found.short, found.rate)]
    lines.append(
        f"{long.queue} rows are made at {found.long_to_short:.3f} times the rate of {found.short.queue}, and at most "
        f"{long.most_ahead} of them were in memory"
    )
    return "\n".join(lines)


def _spell_phase(phase: "Phase") -> str:
    busy = f"{phase.busy:.1%}" if phase.seconds else "-"
    sizes = [
        f"{phase.begin.memory_mb[name]:.0f} → {phase.end.memory_mb[name]:.0f}"
        for name in ("pool", "driver", "submitters")
    ]
    cells = [
        str(phase.queue),
        f"{phase.seconds:g}",
        f"{phase.rate:.1f}",
        busy,
        f"{phase.leased:.1%}",
        str(phase.most_ahead),
        *sizes,
    ]
    return f"| {' | '.join(cells)} |"


def _contract(wanted: PoolBench, found: "Measured") -> dict[str, Any]:
    return {
        "workers": wanted.workers,
        "seconds": wanted.seconds,
        "queue": wanted.queue,
        "measure_seconds": wanted.measure,
        "start_seconds": round(found.start_s, 3),
        "worker_mb": round(found.worker_mb, 1),
        "busy_fraction": round(found.long.busy, 4),
        "leases_per_second": round(found.rate.rate, 1),
        "long_to_short": round(found.long_to_short, 4),
        "phases": {
            name: _plain(phase) for name, phase in (("long", found.long), ("short", found.short), ("rate", found.rate))
        },
    }


def _plain(phase: "Phase") -> dict[str, Any]:
    return {
        "queue": phase.queue,
        "seconds": phase.seconds,
        "videos": phase.videos,
        "wall_seconds": round(phase.wall_s, 3),
        "leases_per_second": round(phase.rate, 1),
        "busy_fraction": round(phase.busy, 4),
        "leased_fraction": round(phase.leased, 4),
        "most_rows_ahead": phase.most_ahead,
        "memory_mb": {
            name: {"begin": round(phase.begin.memory_mb[name], 1), "end": round(end, 1)}
            for name, end in phase.end.memory_mb.items()
        },
    }
