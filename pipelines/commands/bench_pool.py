"""`pabcast bench pool`."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.errors import ConfigError
from pipelines.commands.output import JsonFlag, VerboseFlag, print_json, tell
from pipelines.config import ClusterConfig
from pipelines.progress import counting
from pipelines.ray_session import ray_session

if TYPE_CHECKING:
    from pipelines.bench_pool import PoolLoad, PoolRow

SHORT_S = 0.001
"""Of the videos that measure how many leases there are a second,"""
SHORT_WORKERS = 8
"""on so many workers."""


def pool(
    workers: Annotated[int, typer.Option("--workers", help="Simulated workers.")] = 64,
    seconds: Annotated[float, typer.Option("--seconds", help="What each sleeps over a video.")] = 0.5,
    queue: Annotated[int, typer.Option("--queue", help="Rows of the long prompt file.")] = 1_000_000,
    measure: Annotated[float, typer.Option("--measure", help="Seconds to measure each phase.")] = 20.0,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Measure what the pool itself costs: workers that sleep instead of denoising, all else as in a job.

    Three phases: a prompt file just long enough, one of --queue rows, and videos of a millisecond.

    Example: pabcast bench pool --workers 64 --seconds 0.5
    """
    for name, value in (("workers", workers), ("seconds", seconds), ("queue", queue), ("measure", measure)):
        if value <= 0:
            raise ConfigError(f"--{name} is {value:g}; it must be above 0")
    from pipelines.bench_pool import SETTLE_S, PoolLoad

    enough = int(workers / seconds * (measure + 4 * SETTLE_S)) + 8 * workers
    short = PoolLoad(workers=workers, seconds=seconds, requests=enough, measure_s=measure)
    long = replace(short, requests=max(queue, enough))
    fast = replace(short, workers=min(workers, SHORT_WORKERS), seconds=SHORT_S, requests=int(2000 * measure) + 20_000)
    loads = (short, long, fast)
    rows = _measure(workers, loads)
    ratio = rows[1].leases_per_s / rows[0].leases_per_s
    tell(_spell(rows, ratio), as_json=as_json)
    if as_json:
        print_json({"phases": [_plain(row) for row in rows], "long_over_short": round(ratio, 3)})


def _measure(workers: int, loads: "tuple[PoolLoad, ...]") -> "list[PoolRow]":
    from pipelines.bench_pool import measure_pool, write_prompts

    rows = []
    with (
        ray_session(ClusterConfig(workers=workers)),
        TemporaryDirectory() as folder,
        counting("phases", len(loads)) as advance,
    ):
        for load in loads:
            prompts = Path(folder) / f"{load.requests}.txt"
            write_prompts(prompts, load.requests)
            rows.append(measure_pool(load, prompts))
            advance()
    return rows


def _spell(rows: "list[PoolRow]", ratio: float) -> str:
    lines = ["| rows queued | workers | s a video | busy | leases a second | read ahead | pool, MB | grown, MB |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for row in rows:
        load = row.load
        lines.append(
            f"| {load.requests:,} | {load.workers} | {load.seconds:g} | {row.busy_fraction:.1%} "
            f"| {row.leases_per_s:.0f} | {row.rows_read - row.rows_made} | {row.pool_mb:.0f} | {row.grown_mb:+.1f} |"
        )
    lines.append(f"leases a second, {rows[1].load.requests:,} rows over {rows[0].load.requests:,}: {ratio:.3f}")
    return "\n".join(lines)


def _plain(row: "PoolRow") -> dict[str, Any]:
    return {
        "rows": row.load.requests,
        "workers": row.load.workers,
        "seconds": row.load.seconds,
        "busy_fraction": round(row.busy_fraction, 4),
        "leases_per_s": round(row.leases_per_s, 1),
        "read_ahead": row.rows_read - row.rows_made,
        "pool_mb": round(row.pool_mb, 1),
        "grown_mb": round(row.grown_mb, 1),
    }
