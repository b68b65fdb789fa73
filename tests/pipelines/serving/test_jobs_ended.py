"""The jobs of an endpoint in a folder: how they end, and when they are gone."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.serving.jobs import Damaged, VideoJobs, content_key
from tests.pipelines.serving.jobs import CONTENT, DONE, FAILED, made_before, new, objects


def test_a_completed_job_has_its_files(jobs: VideoJobs) -> None:
    job = jobs.accept(new())
    assert jobs.complete(job, CONTENT, DONE)
    assert {variant: jobs.store.get(content_key(job.id, variant)) for variant in CONTENT} == CONTENT


def test_the_first_outcome_counts(jobs: VideoJobs) -> None:
    job = jobs.accept(new())
    assert jobs.complete(job, CONTENT, DONE)
    assert not jobs.end(job, FAILED)
    assert not jobs.complete(job, CONTENT, replace(DONE, gang=1))
    assert jobs.outcome(job.id) == DONE
    assert len(objects(jobs, "content/")) == 3


def test_a_deleted_job_is_gone_with_its_files(jobs: VideoJobs) -> None:
    kept, gone = (jobs.accept(new(number)) for number in range(2))
    for job in (kept, gone):
        jobs.complete(job, CONTENT, DONE)
    jobs.delete(gone.owner, gone.id)
    jobs.delete(gone.owner, gone.id)
    assert jobs.read("ann", gone.id) is None
    assert jobs.ids("ann") == [kept.id]
    assert objects(jobs, "content/") == sorted(content_key(kept.id, variant) for variant in CONTENT)


def test_a_job_deleted_while_it_is_made_leaves_no_content(jobs: VideoJobs) -> None:
    job = jobs.accept(new())
    jobs.delete(job.owner, job.id)
    assert not jobs.complete(job, CONTENT, DONE)
    outcome = jobs.outcome(job.id)
    assert outcome is not None
    assert outcome.result == "deleted"
    assert objects(jobs, "content/") == []


def test_a_job_that_failed_while_it_was_made_leaves_no_content(jobs: VideoJobs) -> None:
    job = jobs.accept(new())
    jobs.end(job, FAILED)
    assert not jobs.complete(job, CONTENT, DONE)
    assert jobs.outcome(job.id) == FAILED
    assert objects(jobs, "content/") == []


def test_a_damaged_job_is_told_with_its_place_and_can_be_deleted(jobs: VideoJobs, tmp_path: Path) -> None:
    job = jobs.accept(new())
    (key,) = objects(jobs, "jobs/")
    (tmp_path / key).write_text("{")
    with pytest.raises(Damaged, match=f"{key} is no job"):
        jobs.read("ann", job.id)
    assert jobs.has("ann", job.id)
    assert not jobs.has("ben", job.id)
    jobs.delete("ann", job.id)
    assert jobs.read("ann", job.id) is None


@pytest.mark.parametrize("damage", [b"[]", b"", b'{"result": 1, "at": 2}', b'{"result": "made", "at": 2}'])
def test_a_job_whose_outcome_is_damaged_has_failed(jobs: VideoJobs, damage: bytes) -> None:
    job = jobs.accept(new())
    jobs.store.put(f"outcomes/{job.id}.json", damage)
    outcome = jobs.outcome(job.id)
    assert outcome is not None
    assert (outcome.result, outcome.code) == ("failed", "damaged")


def test_a_damaged_mark_is_as_none(jobs: VideoJobs, tmp_path: Path) -> None:
    jobs.accept(new(), "key", "asked")
    (mark,) = objects(jobs, "idempotency/")
    (tmp_path / mark).write_text("{")
    second = jobs.accept(new(1), "key", "another")
    assert jobs.accept(new(2), "key", "another") == second


def test_a_damaged_job_does_not_hide_the_others(jobs: VideoJobs, tmp_path: Path) -> None:
    damaged, good = jobs.accept(made_before(new(), 10)), jobs.accept(new(1))
    (key,) = (key for key in objects(jobs, "jobs/") if damaged.id in key)
    (tmp_path / key).write_text("{")
    assert list(jobs.open_jobs()) == [good]


def test_only_what_has_expired_is_cleaned(jobs: VideoJobs) -> None:
    old, open_, young = made_before(new(0), 3700), made_before(new(1, "bob"), 3601), made_before(new(2), 3500)
    for job in (old, open_, young):
        jobs.accept(job)
    for job in (old, young):
        jobs.complete(job, CONTENT, DONE)
    assert jobs.clean(time.time(), 3600) == 2
    assert jobs.clean(time.time(), 3600) == 0
    assert (jobs.ids("ann"), jobs.ids("bob"), list(jobs.open_jobs())) == ([young.id], [], [])
    assert objects(jobs, "content/") == sorted(content_key(young.id, variant) for variant in CONTENT)
    assert jobs.outcome(young.id) == DONE


def test_an_outcome_outlives_its_job_so_that_who_makes_it_finds_it(jobs: VideoJobs) -> None:
    job = jobs.accept(made_before(new(), 3700), "key", "asked")
    jobs.clean(time.time() + 3600, 3600)
    assert not jobs.complete(job, CONTENT, DONE)
    assert objects(jobs, "content/") == []


def test_in_the_end_nothing_is_left(jobs: VideoJobs) -> None:
    job = jobs.accept(new(), "key", "asked")
    jobs.complete(job, CONTENT, DONE)
    assert jobs.clean(time.time() + 3601, 3600) == 1
    assert jobs.clean(time.time() + 7300, 3600) == 0
    assert objects(jobs) == []


def test_a_job_keeps_its_outcome_when_the_endpoint_keeps_videos_less_long(jobs: VideoJobs) -> None:
    job = jobs.accept(new(keep_s=86400))
    jobs.complete(job, CONTENT, DONE)
    jobs.clean(time.time() + 200, 60)
    assert jobs.outcome(job.id) == DONE
    assert list(jobs.open_jobs()) == []


def test_a_damaged_job_does_not_keep_others_from_being_cleaned(jobs: VideoJobs, tmp_path: Path) -> None:
    damaged, old = jobs.accept(made_before(new(), 3800)), jobs.accept(made_before(new(1, "bob"), 3700))
    (key,) = (key for key in objects(jobs, "jobs/") if damaged.id in key)
    (tmp_path / key).write_text("{")
    jobs.clean(time.time(), 3600)
    assert jobs.read("bob", old.id) is None
