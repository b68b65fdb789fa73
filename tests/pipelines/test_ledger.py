"""The ledger counts every row once, whoever asks and however often."""

import asyncio
import resource
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.desk import RemoteDesk
from pipelines.ledger import Entry, Ledger, LedgerCounts


def test_the_first_source_of_a_sample_has_it() -> None:
    ledger = Ledger()
    assert ledger.claim("a", "x:1")
    assert not ledger.claim("a", "x:2")
    assert ledger.claim("a", "x:1")
    assert ledger.owner("a") == "x:1"
    assert ledger.owner("b") is None
    assert ledger.claim_many([("b", "x:3"), ("a", "x:4"), ("b", "x:3")]) == [True, False, True]


def test_sources_that_ask_for_the_same_have_places_and_keep_them() -> None:
    ledger = Ledger()
    assert ledger.place_many([("a", "x:1"), ("a", "x:2"), ("b", "x:3"), ("a", "x:1")]) == [0, 1, 0, 0]
    assert ledger.place_many([("a", "x:4"), ("a", "x:2"), ("b", "näme \udcff:1")]) == [2, 1, 1]


def test_one_of_many_threads_claims_a_sample() -> None:
    ledger = Ledger()
    barrier = threading.Barrier(8)

    def race(racer: int) -> int:
        barrier.wait()
        return sum(ledger.claim(str(sample), f"x:{racer}") for sample in range(100))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(race, range(8))) == 100


def test_every_row_is_counted_once() -> None:
    ledger = Ledger()
    for _ in range(2):
        for number in range(4):
            ledger.claim(str(number), f"x:{number}")
        ledger.record("committed", "x:0")
        ledger.record("skipped", "x:1")
        ledger.record("failed", "x:2", reason="the gang died", kind="GangError")
        ledger.record("failed", "x:bad", reason="the prompt is empty", kind="RequestError")
    counts = ledger.counts()
    assert counts == LedgerCounts(requested=5, skipped=1, committed=1, failed=2)
    assert counts.open == 1


def test_a_row_that_is_tried_again_counts_by_its_best_outcome() -> None:
    ledger = Ledger()
    ledger.record("failed", "x:0", reason="the gang died")
    ledger.record("committed", "x:0")
    ledger.record("skipped", "x:0")
    ledger.record("failed", "x:0", reason="late")
    assert ledger.counts() == LedgerCounts(requested=1, skipped=0, committed=1, failed=0)
    assert ledger.failures() == []


def test_the_last_failures_are_kept() -> None:
    ledger = Ledger(failures_kept=3)
    ledger.record_many([Entry(source=f"x:{number}", outcome="failed", reason=str(number)) for number in range(10)])
    assert [entry.reason for entry in ledger.failures()] == ["7", "8", "9"]
    assert ledger.counts().failed == 10


def test_samples_that_were_made_and_have_no_commit_any_more_are_found() -> None:
    ledger = Ledger()
    for number in range(100):
        ledger.claim(f"{number:02}", f"x:{number}")
        ledger.record(("committed", "skipped", "failed", "committed")[number % 4], f"x:{number}")
    ledger.claim("open", "x:100")
    ledger.see_many([f"{number:02}" for number in range(0, 100, 4)] + ["of another job"])
    count, first = ledger.unseen()
    assert count == 50
    assert first == [f"{number:02}" for number in range(100) if number % 4 in (1, 3)][:20]


def test_a_failure_is_outdated_once_its_row_does_not_fail_so_any_more() -> None:
    ledger = Ledger()
    ledger.record("failed", "x.txt:1", reason="the prompt is empty")
    ledger.record("failed", "x.txt:2", sample_id="b", reason="the gang died")
    ledger.record("committed", "x.txt:3", sample_id="c")
    failures = {
        ("x.txt:1", ""): False,
        ("x.txt:1", "a"): True,
        ("x.txt:2", ""): True,
        ("x.txt:2", "b"): False,
        ("x.txt:2", "of another prompt"): True,
        ("x.txt:3", ""): True,
        ("x.txt:3", "c"): True,
        ("x.txt:4", ""): True,
        ("x.txt.txt:1", ""): False,
        ("y.txt:3", "c"): False,
        ("y.txt", ""): False,
    }
    assert ledger.outdated_many(list(failures)) == list(failures.values())


def test_an_outcome_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="'done' is no outcome; use one of failed, skipped, committed"):
        Ledger().record("done", "x:1")  # type: ignore[arg-type]


def test_any_text_is_a_source() -> None:
    ledger = Ledger()
    assert ledger.claim("a", "näme \udcff:1")
    assert ledger.claim("a", "näme \udcff:1")
    ledger.record("committed", "näme \udcff:1")
    assert ledger.counts().requested == 1


def test_memory_does_not_grow_with_the_rows() -> None:
    ledger = Ledger()

    def fill(start: int) -> None:
        for first in range(start, start + 200_000, 1000):
            numbers = range(first, first + 1000)
            ledger.claim_many([(f"{number:032x}", f"prompts.jsonl:{number}") for number in numbers])

    fill(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fill(200_000)
    assert ledger.counts().requested == 400_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000


@pytest.mark.usefixtures("ray_session")
def test_it_serves_as_an_actor() -> None:
    desk = RemoteDesk.start()
    assert desk.claim_many([("a", "x:1"), ("a", "x:2")]) == [True, False]
    asyncio.run(desk.record("failed", "x:2", reason="duplicate"))
    counts, wanted = desk.look(30)
    assert (counts.requested, counts.failed, wanted) == (2, 1, False)
    assert desk.failures()[0].reason == "duplicate"
