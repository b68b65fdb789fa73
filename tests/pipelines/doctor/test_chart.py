"""The findings as a person sees them."""

from rich.console import Console

from pipelines.doctor.chart import chart, sum_up
from pipelines.doctor.finding import failed, failed_by, ok, warning

FINDINGS = [ok("python", "3.11.7"), warning("disk", "9 GB free", "free some"), failed("gpu", "no\x1b[2J", "add one")]


def printed(width: int) -> list[str]:
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        console.print(chart(FINDINGS))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_the_way_out_stands_beneath_what_was_found_and_nothing_commands_the_terminal() -> None:
    assert printed(80) == [
        "python  ok       3.11.7",
        "disk    warning  9 GB free",
        "                 way out: free some",
        "gpu     failed   no\\u001b[2J",
        "                 way out: add one",
    ]


def test_a_narrow_terminal_folds_what_was_found_and_loses_nothing() -> None:
    lines = printed(30)
    assert max(map(len, lines)) <= 30
    assert "".join("".join(lines).split()).count("wayout:freesome") == 1


def test_the_last_line_counts() -> None:
    assert sum_up(FINDINGS) == "1 ok, 1 warning, 1 failed"
    assert sum_up(FINDINGS[:1]) == "1 ok, 0 warnings, 0 failed"


def test_an_error_of_pabcast_is_parted_into_what_is_wrong_and_the_way_out() -> None:
    line = failed_by("store", ValueError("it is down; start it; or wait"))
    assert (line.found, line.way_out) == ("it is down", "start it; or wait")
    assert failed_by("store", ValueError("it is down")).way_out
