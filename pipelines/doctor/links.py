"""What lies between the GPUs of a machine."""

import re
from collections import Counter
from collections.abc import Collection, Mapping

from pipelines.doctor.finding import Finding, ok, warning

Pair = tuple[int, int]
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def parse_topology(text: str) -> dict[Pair, str]:
    """The table of `nvidia-smi topo -m` as pairs of GPUs -> their link (NV18, PIX, PHB, SYS, …)."""
    rows = [_COLOURS.sub("", line).split() for line in text.splitlines()]
    rows = [row for row in rows if row and re.fullmatch(r"GPU\d+", row[0])]
    header, body = (rows[0], rows[1:]) if rows else ([], [])
    columns = [name for name in header if re.fullmatch(r"GPU\d+", name)]
    return {
        (int(row[0][3:]), int(column[3:])): link
        for row in body
        for column, link in zip(columns, row[1:], strict=False)
        if link != "X"
    }


def judge_links(count: int, peers: Collection[Pair], links: Mapping[Pair, str], widest_gang: int) -> Finding:
    """Whether `count` GPUs reach each other's memory: else what a gang sends goes by way of the host."""
    pairs = count * (count - 1)
    kinds = ", ".join(f"{number} by {kind}" for kind, number in sorted(Counter(links.values()).items()))
    found = f"{len(peers)} of {pairs} ordered pairs reach each other's memory" + (f" ({kinds})" if kinds else "")
    if len(peers) == pairs or widest_gang == 1:
        return ok("gpu links", found)
    return warning(
        "gpu links",
        found,
        "what gangs send goes through the host's memory: narrower gangs (cluster.domain_workers) lose less; "
        "on bare metal, see that IOMMU and ACS are off",
    )
