"""`pabcast serve`."""

from pathlib import Path

from pipelines.commands.job_arguments import ConfigArgument, OverridesArgument
from pipelines.commands.output import VerboseFlag, tell
from pipelines.serving.config import load_serve_config

CONFIG = "configs/serve.yaml"


def serve(
    config: ConfigArgument = CONFIG,
    overrides: OverridesArgument = None,
    verbose: VerboseFlag = False,
) -> None:
    """Answer the Videos API until Ctrl-C or SIGTERM, which lets what runs end; jobs and videos are kept in the store.

    What waits or breaks off is taken up again by the next start with the same `store.uri`.

    Example: pabcast serve configs/serve.yaml http.port=8123
    """
    if "=" in config and not Path(config).exists():  # the first override, of the config that is meant then
        config, overrides = CONFIG, [config, *(overrides or [])]
    found = load_serve_config(config, overrides or [])
    # Ray Serve takes seconds to import: only once the config is known to be good.
    from pipelines.serving.endpoint import run_endpoint

    run_endpoint(found, lambda line: tell(line, as_json=True))
