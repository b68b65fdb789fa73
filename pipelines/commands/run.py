"""`pabcast run`."""

from pipelines.commands.job_arguments import ConfigArgument, OverridesArgument
from pipelines.commands.output import JsonFlag, VerboseFlag, print_json, tell
from pipelines.config import load_config
from pipelines.interrupts import INTERRUPTED
from pipelines.progress import Progress


def run(
    config: ConfigArgument,
    overrides: OverridesArgument = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Make a video dataset from a prompt dataset; what is committed already is skipped.

    Exit code 0: every row is committed; 3: finished, some rows failed or committed videos are missing; 1: the job
    could not run; 2: bad usage; 130: stopped by Ctrl-C or SIGTERM. The first lets the job stop by itself, the next
    ends it at once.

    Example: pabcast run configs/demo.yaml sampling.steps=20 output.uri=s3://bucket/demo
    """
    job = load_config(config, overrides or [])
    # Ray and its friends take seconds to import: only once the config is known to be good.
    from pipelines.job import run_job

    say = _to_stderr
    say(f"{job.input.path} -> {job.output.uri}, model {job.model.id}, pab {job.pab.text()}")
    with Progress(say) as progress:
        result = run_job(job, progress)
    tell(result.summary.spell(), as_json=as_json)
    if as_json:
        print_json(result.summary.contract())
    return INTERRUPTED if result.interrupted else result.summary.exit_code


def _to_stderr(line: str) -> None:
    tell(line, as_json=True)
