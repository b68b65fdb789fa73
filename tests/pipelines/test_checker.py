"""What a job still has to make of its rows, whatever the order in which they are checked."""

import json
import pickle
import random
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from actors.engine.request import VideoRequest
from pipelines.checker import Checker
from pipelines.commits import Commits, commit_key
from pipelines.ledger import Ledger
from pipelines.prompt_source import SCHEMA
from pipelines.store import LocalStore
from tests.pipelines.test_rows import DEFAULTS

CHECK_ROWS = 64


class CountedLedger(Ledger):
    """A ledger that counts the calls of a checker: from a cluster's other processes each is a round trip."""

    calls = 0

    def claim_many(self, claims: Sequence[tuple[str, str]]) -> list[bool]:
        self.calls += 1
        return super().claim_many(claims)

    def place_many(self, asked: Sequence[tuple[str, str]]) -> list[int]:
        self.calls += 1
        return super().place_many(asked)


def blocks_of(prompts: Sequence[str]) -> list[pa.Table]:
    rows = [
        {"source": f"p.txt:{number}", "fields": json.dumps({"prompt": prompt}), "problem": ""}
        for number, prompt in enumerate(prompts, start=1)
    ]
    return [
        pa.Table.from_pylist(rows[first : first + CHECK_ROWS], schema=SCHEMA)
        for first in range(0, len(rows), CHECK_ROWS)
    ]


def check(store: LocalStore, ledger: Ledger, blocks: Sequence[pa.Table]) -> list[VideoRequest]:
    checker = Checker(defaults=DEFAULTS, commits=Commits(store), ledger=ledger)
    return [pickle.loads(row["request"]) for block in blocks for row in checker.check(block).to_pylist()]


def test_two_thousand_equal_lines_take_two_calls_a_block(tmp_path: Path) -> None:
    blocks = blocks_of(["a cat"] * 2000)
    ledger = CountedLedger()
    made = check(LocalStore(tmp_path), ledger, blocks)
    assert sorted(request.seed for request in made) == list(range(2000))
    assert ledger.calls == 2 * len(blocks)
    assert ledger.counts().requested == 2000


def test_equal_lines_ask_for_the_same_samples_in_any_order(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    blocks = blocks_of([("a cat", "a dog", "a cat")[number % 3] for number in range(500)])
    first = check(store, Ledger(), blocks)
    for request in first:
        store.put(commit_key(request.sample_id), b"{}")
    assert len({request.sample_id for request in first}) == 500
    random.Random(0).shuffle(blocks)
    ledger = Ledger()
    assert check(store, ledger, blocks) == []
    assert ledger.counts().skipped == 500


def test_a_block_that_is_checked_again_asks_for_the_same(tmp_path: Path) -> None:
    (block,) = blocks_of(["a cat"] * 5)
    ledger = Ledger()
    first = check(LocalStore(tmp_path), ledger, [block])
    assert check(LocalStore(tmp_path), ledger, [block]) == first
    assert ledger.counts().requested == 5
