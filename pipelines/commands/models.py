"""`pabcast models`."""

from typing import Any

from cluster.errors import ConfigError
from cluster.model import ModelNumbers
from pipelines.commands.output import JsonFlag, VerboseFlag, print_json, tell
from pipelines.models import KnownModel, known_models, left_out, read_card
from pipelines.widths import spell_widths


def models(as_json: JsonFlag = False, verbose: VerboseFlag = False) -> None:
    """List the known models: kinds of attention, legal gang widths, sizes, where their files are.

    Example: pabcast models --json
    """
    entries = [_describe(model) for model in known_models().values()]
    for problem in left_out():
        tell(f"left out: {problem}", as_json=True)
    if as_json:
        print_json(entries)
        return
    for entry in entries:
        tell(_spell(entry))


def _describe(model: KnownModel) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": model.id,
        "path": str(model.folder),
        "family": model.family,
        "description": model.description,
        "pab": model.pab,
        "kinds": [],
        "widths": [],
    }
    if model.numbers is not None and not model.is_here:
        problem = "its files are not here; `pabcast plan` and `pabcast schedule` need none"
        return {**entry, **_numbers(model.numbers), "problem": problem}
    try:
        card = read_card(model)
    except ConfigError as error:
        return {**entry, "problem": str(error)}
    return {**entry, **_numbers(card.numbers), "revision": card.revision}


def _numbers(numbers: ModelNumbers) -> dict[str, Any]:
    return {
        "kinds": list(numbers.kinds),
        "widths": list(numbers.legal_widths()),
        "sizes": {
            "min_edge": numbers.min_edge,
            "max_edge": numbers.max_edge,
            "native_edge": numbers.native_edge,
            "multiple_of": numbers.edge_multiple,
        },
        "num_frames": numbers.num_frames,
        "frame_range": numbers.frame_range,
    }


def _spell(entry: dict[str, Any]) -> str:
    head = f"{entry['id']}: {entry['description']}\n  files       {entry['path']}"
    if "problem" in entry:
        head += f"\n  problem     {entry['problem']}"
    if not entry["widths"]:
        return head
    sizes, widths, frames = entry["sizes"], entry["widths"], entry["frame_range"] or ""
    return (
        f"{head}\n"
        f"  attention   {', '.join(entry['kinds'])}\n"
        f"  gang widths {spell_widths(widths)}\n"
        f"  pab         {entry['pab'] or 'none of its own'}\n"
        f"  sizes       {sizes['min_edge']} to {sizes['max_edge']} pixels an edge, in {sizes['multiple_of']}s; "
        f"trained for {sizes['native_edge']}\n"
        f"  frames      {entry['num_frames']}{frames and f'; it makes {frames}'}"
    )
