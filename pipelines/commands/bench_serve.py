"""`pabcast bench serve`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.errors import ConfigError
from pipelines.commands.job_arguments import ConfigArgument, OverridesArgument
from pipelines.commands.output import JsonFlag, VerboseFlag, print_json, tell
from pipelines.progress import counting
from pipelines.serving.config import load_serve_config

if TYPE_CHECKING:
    from pipelines.bench_clients import Heard
    from pipelines.bench_serve import ServeLoad


def serve(
    config: ConfigArgument = "configs/serve.yaml",
    overrides: OverridesArgument = None,
    clients: Annotated[int, typer.Option("--clients", help="Clients at once.")] = 200,
    seconds: Annotated[int, typer.Option("--seconds", help="How long they go on.")] = 60,
    arrive: Annotated[
        float, typer.Option("--arrive", help="Seconds in which they come, one after the other; 0: all together.")
    ] = 20.0,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Load an endpoint of this machine: many clients at once, each of which asks for videos and looks until they end.

    It is started for that, on a free port and with an empty store, and ended. A look (GET) under load is compared
    with one at the idle endpoint.

    Example: pabcast bench serve configs/serve.yaml limits.per_key=50 --clients 200 --seconds 60
    """
    for option, number in (("--clients", clients), ("--seconds", seconds)):
        if number < 1:
            raise ConfigError(f"{option} is {number}; it must be 1 or more")
    if not 0 <= arrive < seconds:
        raise ConfigError(f"--arrive is {arrive:g}; it must be at least 0 and below --seconds, {seconds}")
    load_serve_config(config, overrides or [])
    from pipelines.bench_serve import measure_serving

    with counting("seconds", seconds) as advance:
        found = measure_serving(
            config, overrides or [], clients=clients, seconds=seconds, arrive_s=arrive, on_second=advance
        )
    tell(_spell(found), as_json=as_json)
    if as_json:
        print_json(_plain(found))


def _spell(found: "ServeLoad") -> str:
    load = found.load
    lines = [
        f"{found.clients} clients, who come within {found.arrive_s:g} s, for {found.seconds:g} s: "
        f"{sum(load.statuses.values())} answers, "
        + ", ".join(f"{count} of {status or 'none at all'}" for status, count in sorted(load.statuses.items()))
        + f"; {load.without_retry_after} of the 429s without Retry-After",
        "videos seen to end: " + (", ".join(f"{count} {how}" for how, count in load.ended.items()) or "none"),
        f"GET of a video: median {load.median_ms:.1f} ms, 99th percentile {load.p99_ms:.1f} ms; idle median "
        f"{found.idle.median_ms:.1f} ms; p99 over the idle median {found.p99_to_idle:.1f}",
        "memory, MB: "
        + ", ".join(f"{part} {begin:.0f} → {end:.0f}" for part, (begin, end) in sorted(found.memory_mb.items())),
    ]
    return "\n".join(lines + [f"{count} times: {text}" for text, count in load.problems.items()])


def _plain(found: "ServeLoad") -> dict[str, Any]:
    return {
        "clients": found.clients,
        "seconds": found.seconds,
        "arrive_seconds": found.arrive_s,
        "idle": _plain_heard(found.idle),
        "load": _plain_heard(found.load),
        "p99_to_idle_median": found.p99_to_idle,
        "memory_mb": {part: {"begin": begin, "end": end} for part, (begin, end) in found.memory_mb.items()},
    }


def _plain_heard(heard: "Heard") -> dict[str, Any]:
    return {
        "answers": dict(sorted(heard.statuses.items())),
        "without_retry_after": heard.without_retry_after,
        "ended": dict(heard.ended),
        "problems": dict(heard.problems),
        "gets": len(heard.get_s),
        "get_median_ms": heard.median_ms,
        "get_p99_ms": heard.p99_ms,
    }
