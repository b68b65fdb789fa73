"""`pabcast plan`."""

from typing import Any

from pipelines.commands.job_arguments import ConfigArgument, OverridesArgument
from pipelines.commands.output import JsonFlag, VerboseFlag, print_json, spell_seconds, tell
from pipelines.config import make_config, read_values
from pipelines.plan import JobPlan, PlannedGroup, make_plan


def plan(
    config: ConfigArgument,
    overrides: OverridesArgument = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Show what a job would take, without running it: widths and why, seconds, GPU-hours, bytes sent, memory.

    `gpu=h200` plans for a domain of that GPU (configs/gpus), or for `cluster.workers` of it if the job says how many;
    `gang.latency_s=30` for a latency, `calibration=FILE` by rates that `pabcast bench calibrate` measured. A model
    without files is planned from its numbers. Seconds are of one video, GB sent and held of one video and one rank;
    GPU-hours are of all the row's videos.

    Exit code 0: the plan is of all that can be made; 3, as of `pabcast run`: no row can be made; 2: bad usage.

    Example: pabcast plan configs/plan.yaml gpu=h200 gang.width=auto gang.latency_s=12
    """
    values = read_values(config, overrides or [])
    job = make_config(values)
    # Ray Data's reader takes seconds to import: only once the config is known to be good.
    from pipelines.plan_rows import planned_requests
    from pipelines.summary import DONE, SOME_FAILED

    made = make_plan(job, planned_requests(job), says_workers="workers" in values.get("cluster", {}))
    tell(_spell(made), as_json=as_json)
    if as_json:
        print_json(_contract(made))
    return SOME_FAILED if made.refused and not made.groups else DONE


def _spell(made: JobPlan) -> str:
    how = "measured" if made.calibration.measured else "assumed"
    lines = [f"{made.videos} videos on {made.workers} x {made.gpu.id}, rates {how} ({made.calibration.device})"]
    lines.append("videos  shape            steps  width  seconds  GPU-hours  GB sent  GB held  why")
    lines += [_row(group) for group in made.groups]
    price = "" if made.dollars is None else f", ${made.dollars:,.2f}"
    seconds = spell_seconds(made.hours * 3600)
    lines.append(f"{made.gpu_hours:.3f} GPU-hours{price}; {seconds} by the clock, the longest videos first")
    lines += [f"refused, {count} {'row' if count == 1 else 'rows'}: {reason}" for count, reason in made.refused]
    return "\n".join(lines)


def _row(group: PlannedGroup) -> str:
    cost, kindred = group.decision.cost, group.kindred
    sent = group.all_to_all_bytes + cost.sent.swaps.bytes
    return (
        f"{group.videos:6}  {kindred.shape!s:15}  {kindred.steps:5}  {cost.width:5}  {cost.seconds:7.1f}  "
        f"{group.gpu_seconds / 3600:9.3f}  {sent / 1e9:7.2f}  {cost.peak_bytes / 1e9:7.1f}  "
        f"{group.decision.reason}"
    )


def _contract(made: JobPlan) -> dict[str, Any]:
    return {
        "videos": made.videos,
        "gpu": made.gpu.id,
        "workers": made.workers,
        "measured": made.calibration.measured,
        "gpu_hours": made.gpu_hours,
        "hours": made.hours,
        "dollars": made.dollars,
        "groups": [_plain(group) for group in made.groups],
        "refused": [{"rows": count, "reason": reason} for count, reason in made.refused],
    }


def _plain(group: PlannedGroup) -> dict[str, Any]:
    cost, kindred = group.decision.cost, group.kindred
    return {
        "size": f"{kindred.shape.width}x{kindred.shape.height}",
        "num_frames": kindred.shape.num_frames,
        "steps": kindred.steps,
        "videos": group.videos,
        "width": cost.width,
        "reason": group.decision.reason,
        "rejected": {str(width): why for width, why in group.decision.rejected.items()},
        "seconds": cost.seconds,
        "parts_seconds": {
            "text": cost.text_s,
            "compute": cost.compute_s,
            "communication": cost.communication_s,
            "decode": cost.decode_s,
        },
        "gpu_hours": group.gpu_seconds / 3600,
        "peak_bytes": cost.peak_bytes,
        "cache_bytes": cost.sent.cache_bytes,
        "all_to_all_bytes_per_rank": group.all_to_all_bytes,
        "flops": group.workload.flops(),
    }
