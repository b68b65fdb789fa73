"""The table of links between GPUs, and what is said of it."""

import pytest

from pipelines.doctor.links import judge_links, parse_topology

TABLE = """\
\x1b[4m\tGPU0\tGPU1\tGPU2\tNIC0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m
GPU0\t X \tNV18\tSYS\tPIX\t0-31\t0\tN/A
GPU1\tNV18\t X \tPHB\tSYS\t0-31\t0\tN/A
GPU2\tSYS\tPHB\t X \tSYS\t32-63\t1\tN/A
NIC0\tPIX\tSYS\tSYS\t X\t\t\t

Legend:

  X    = Self
  SYS  = Connection traversing PCIe as well as the SMP interconnect between NUMA nodes
"""
ALL = [(one, other) for one in range(3) for other in range(3) if one != other]


def test_the_pairs_of_gpus_are_read_and_nothing_else() -> None:
    links = parse_topology(TABLE)
    assert sorted(links) == ALL
    assert (links[0, 1], links[2, 1], links[0, 2]) == ("NV18", "PHB", "SYS")


@pytest.mark.parametrize("text", ["", "No devices were found\n", "GPU0\t X \n"])
def test_without_a_table_there_are_no_links(text: str) -> None:
    assert parse_topology(text) == {}


def test_gpus_that_all_reach_each_other_are_ok_with_their_links() -> None:
    line = judge_links(3, ALL, parse_topology(TABLE), widest_gang=3)
    assert line.status == "ok"
    assert line.found == "6 of 6 ordered pairs reach each other's memory (2 by NV18, 2 by PHB, 2 by SYS)"


def test_gpus_that_do_not_reach_each_other_are_worth_a_word_to_gangs_alone() -> None:
    assert judge_links(3, ALL[:2], {}, widest_gang=2).status == "warning"
    assert judge_links(3, ALL[:2], {}, widest_gang=1).status == "ok"
