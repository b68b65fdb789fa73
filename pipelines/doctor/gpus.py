"""torch and the GPUs of this machine: what is there, really computed on, and what is said of it."""

import shutil
import subprocess
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.commands.output import spell_bytes
from pipelines.doctor.finding import Finding, failed, ok, warning
from pipelines.doctor.links import Pair, judge_links, parse_topology
from pipelines.doctor.model import weights_bytes
from pipelines.doctor.versions import judge, read_ranges
from pipelines.doctor.wanted import Wanted

TOPOLOGY_S = 10.0
MOST_TAKEN = 0.1
"""The share of a GPU's memory that others may hold before it is worth a word."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One of them."""

    name: str
    free_bytes: int
    total_bytes: int
    problem: str = ""
    """Why it cannot compute, if it cannot."""


@dataclass(frozen=True, kw_only=True)
class TorchFacts:
    """What torch says of itself and of the machine."""

    version: str
    cuda: str | None = None
    """What it was built for; None: the CPU alone."""
    nccl: str | None = None
    remark: str = ""
    """Why CUDA cannot be used, in torch's words."""
    gpus: tuple[Gpu, ...] = ()
    peers: frozenset[Pair] = frozenset()
    """Which of them reaches whose memory."""
    links: Mapping[Pair, str] = field(default_factory=dict)
    """What is between them, in nvidia-smi's words, as NV18 or PHB."""


def look_at_torch(wanted: Wanted) -> list[Finding]:
    """The lines `torch` and `gpu`, and of a machine with GPUs `gpu memory`, `nccl` and `gpu links`."""
    facts = read_torch()
    lines = [judge("torch", facts.version, read_ranges().packages["torch"]), judge_count(facts, wanted)]
    if facts.gpus and not wanted.shuns_gpu:
        lines += [judge_memory(facts.gpus, weights_bytes(wanted)), judge_nccl(facts, wanted)]
        if len(facts.gpus) > 1:
            lines.append(judge_links(len(facts.gpus), facts.peers, facts.links, wanted.widest_gang))
    return lines


def read_torch() -> TorchFacts:
    """Ask torch, and have each GPU add up eight ones."""
    import torch

    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = tuple(_read_gpu(index) for index in range(count))
    pairs = [(one, other) for one in range(count) for other in range(count) if one != other]
    nccl = torch.cuda.nccl.version() if torch.distributed.is_nccl_available() else None
    return TorchFacts(
        version=torch.__version__,
        cuda=torch.version.cuda,
        nccl=nccl and ".".join(map(str, nccl)),
        remark="; ".join((str(remark.message).splitlines() or [""])[0] for remark in remarks),
        gpus=gpus,
        peers=frozenset(pair for pair in pairs if torch.cuda.can_device_access_peer(*pair)),
        links=parse_topology(_ask_topology()) if pairs else {},
    )


def judge_count(facts: TorchFacts, wanted: Wanted) -> Finding:
    """Whether there are as many GPUs that compute as workers want one."""
    broken = [f"{index}: {gpu.problem}" for index, gpu in enumerate(facts.gpus) if gpu.problem]
    if broken:
        return failed("gpu", f"cannot compute: {', '.join(broken)}", "install a torch that was built for them")
    if wanted.shuns_gpu:
        return ok("gpu", f"{_count(facts.gpus)}; the config asks for the CPU")
    if not facts.gpus:
        if not wanted.needs_gpu:
            return ok("gpu", "none; the CPU computes")
        return failed("gpu", f"none, and one is asked for: {_why_none(facts)}", _way_to_a_gpu(facts))
    least, most, count = wanted.least_workers, wanted.workers, len(facts.gpus)
    found = f"{_count(facts.gpus)}: {', '.join(sorted({gpu.name for gpu in facts.gpus}))}; CUDA {facts.cuda}"
    if count < least:
        wants = f"{least} workers want one each" if least > 1 else "one is wanted"
        return failed("gpu", f"{found}; {wants}", f"cluster.workers={count}, or cluster.device=cpu")
    if count < most:
        return warning(
            "gpu", f"{found}; up to {most} workers want one each", f"cluster.workers={count} is all they are"
        )
    return ok("gpu", found)


def judge_memory(gpus: Sequence[Gpu], weights_bytes: int) -> Finding:
    """Whether each GPU has room for the model, and is free of others."""
    least = min(gpus, key=lambda gpu: gpu.free_bytes)
    found = f"{spell_bytes(least.free_bytes)} of {spell_bytes(least.total_bytes)} free"
    found += " on the fullest" if len(gpus) > 1 else ""
    if least.free_bytes < weights_bytes:
        return failed(
            "gpu memory",
            f"{found}, and the model's weights alone are {spell_bytes(weights_bytes)}",
            "end what else holds it (nvidia-smi lists it), or take a smaller model or a larger GPU",
        )
    if least.free_bytes < (1 - MOST_TAKEN) * least.total_bytes:
        return warning("gpu memory", found, "end what else holds it: nvidia-smi lists it")
    return ok("gpu memory", found)


def judge_nccl(facts: TorchFacts, wanted: Wanted) -> Finding:
    """Whether gangs can form process groups."""
    if facts.nccl:
        return ok("nccl", facts.nccl)
    if wanted.widest_gang > 1:
        found = f"torch {facts.version} has none, and gangs are up to {wanted.widest_gang} wide"
        return failed("nccl", found, "install a torch with NCCL, or set cluster.domain_workers=1")
    return warning("nccl", f"torch {facts.version} has none", "gangs of more than one worker need it")


def _read_gpu(index: int) -> Gpu:
    import torch

    name, problem = torch.cuda.get_device_name(index), ""
    try:
        free, total = torch.cuda.mem_get_info(index)
        if torch.ones(8, device=f"cuda:{index}").sum().item() != 8:
            problem = "eight ones add up to something else"
    except RuntimeError as error:
        free, total = 0, torch.cuda.get_device_properties(index).total_memory
        problem = (str(error).splitlines() or ["it cannot be used"])[0]
    return Gpu(name=name, free_bytes=free, total_bytes=total, problem=problem)


def _ask_topology() -> str:
    """What `nvidia-smi topo -m` prints; nothing where it is not there."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return ""
    try:
        return subprocess.run([command, "topo", "-m"], capture_output=True, text=True, timeout=TOPOLOGY_S).stdout
    except subprocess.TimeoutExpired:
        return ""


def _count(gpus: Sequence[Gpu]) -> str:
    return f"{len(gpus)} GPU{'' if len(gpus) == 1 else 's'}" if gpus else "none"


def _why_none(facts: TorchFacts) -> str:
    if facts.cuda is None:
        return f"torch {facts.version} is built for the CPU alone"
    return f"torch {facts.version} is built for CUDA {facts.cuda} and sees no GPU" + (
        f" ({facts.remark})" if facts.remark else ""
    )


def _way_to_a_gpu(facts: TorchFacts) -> str:
    if facts.cuda is None:
        return "install a torch that is built for CUDA on a machine with a GPU, or set cluster.device=cpu"
    return "see that nvidia-smi lists a GPU and CUDA_VISIBLE_DEVICES hides none, or set cluster.device=cpu"
