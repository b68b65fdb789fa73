"""The endpoint's page: three files, and what it shows beside the videos."""

from pathlib import Path
from typing import Any

from pipelines.pab_text import presets
from pipelines.serving.config import ServeConfig

_FOLDER = Path(__file__).parent / "page"
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
"""File and media type by path."""


def read_file(path: str) -> bytes:
    """The file of the page at `path`, a key of `FILES`."""
    return (_FOLDER / FILES[path][0]).read_bytes()


def page_state(config: ServeConfig, state: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of the endpoint; `state` is of its clerk."""
    sampling, pab = config.sampling, config.pab.text()
    pool = state["pool"]
    return {
        "model": config.model.id,
        "presets": [pab, *(name for name in ("off", *sorted(presets())) if name != pab)],
        "defaults": {
            "width": sampling.width,
            "height": sampling.height,
            "num_frames": sampling.num_frames,
            "num_inference_steps": sampling.steps,
        },
        "waiting": state["waiting"],
        "running": state["running"],
        "workers": 0 if pool is None else pool["workers"],
    }
