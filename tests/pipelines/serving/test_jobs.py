"""The jobs of an endpoint in a folder: what is kept, whose it is, and that it is kept once."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.serving.jobs import KeyReused, VideoJobs
from tests.pipelines.serving.jobs import CONTENT, DONE, FAILED, made_before, new, objects


def test_an_accepted_job_is_read_by_any_process(jobs: VideoJobs) -> None:
    job = new()
    assert jobs.accept(job) == job
    assert pickle.loads(pickle.dumps(jobs)).read("ann", job.id) == job
    assert jobs.outcome(job.id) is None


def test_a_job_of_another_key_is_not_found(jobs: VideoJobs) -> None:
    job = jobs.accept(new())
    for owner in ("bob", "", "ANN", "ann\0", "../ann"):
        assert jobs.read(owner, job.id) is None
        assert jobs.ids(owner) == []


@pytest.mark.parametrize(
    "job_id",
    [
        *("", "..", "../x", "/etc/passwd", "\0", "\ud800", "x" * 10**6, "video_*"),
        *(f"video_{rest}" for rest in ("", "0" * 43, "0" * 45, "g" * 44, "0" * 44, "A" * 44, "0" * 44 + "\n")),
    ],
)
def test_a_text_that_is_no_id_is_not_found(jobs: VideoJobs, job_id: str) -> None:
    jobs.accept(new())
    assert jobs.read("ann", job_id) is None


def test_an_id_never_leads_to_another_folder(jobs: VideoJobs) -> None:
    ann, bob = jobs.accept(new()), jobs.accept(new(owner="bob"))
    (folder,) = {key.split("/")[1] for key in objects(jobs, "jobs/") if bob.id in key}
    for job_id in (f"../{folder}/{bob.id}", f"{ann.id}/../../{folder}/{bob.id}", f"/{bob.id}", f"{ann.id}.json"):
        assert jobs.read("ann", job_id) is None


def test_the_ids_of_an_owner_come_oldest_first(jobs: VideoJobs) -> None:
    moved = [made_before(new(number), seconds) for number, seconds in enumerate((5, 500, 0, 50))]
    for job in (*moved, new(owner="bob")):
        jobs.accept(job)
    assert jobs.ids("ann") == [moved[index].id for index in (1, 3, 0, 2)]
    assert [job.id for job in jobs.open_jobs() if job.owner == "ann"] == jobs.ids("ann")


def test_the_open_jobs_are_those_of_every_owner_without_an_outcome(jobs: VideoJobs) -> None:
    waiting, done, failed, deleted, bobs = (
        jobs.accept(made_before(new(number, owner), 100 - number)) for number, owner in enumerate(["ann"] * 4 + ["bob"])
    )
    assert jobs.complete(done, CONTENT, DONE)
    assert jobs.end(failed, FAILED)
    jobs.delete(deleted.owner, deleted.id)
    assert list(jobs.open_jobs()) == [waiting, bobs]
    assert (jobs.outcome(done.id), jobs.outcome(failed.id)) == (DONE, FAILED)
    assert jobs.ids("ann") == [waiting.id, done.id, failed.id]


def test_one_key_and_one_request_make_one_job(jobs: VideoJobs) -> None:
    first = jobs.accept(new(), "key", "asked")
    assert jobs.accept(new(), "key", "asked") == first
    assert jobs.ids("ann") == [first.id]


def test_a_key_that_comes_with_another_request_is_refused(jobs: VideoJobs) -> None:
    first = jobs.accept(new(), "key", "asked")
    with pytest.raises(KeyReused):
        jobs.accept(new(1), "key", "asked for something else")
    assert jobs.ids("ann") == [first.id]


def test_other_keys_and_other_owners_make_jobs_of_their_own(jobs: VideoJobs) -> None:
    first = jobs.accept(new(), "key", "asked")
    others = [jobs.accept(new(), "key2", "asked"), jobs.accept(new(), None, "asked"), jobs.accept(new(), "", "asked")]
    bobs = jobs.accept(new(owner="bob"), "key", "another")
    assert len({first.id, bobs.id, *(job.id for job in others)}) == 5
    assert (len(jobs.ids("ann")), jobs.ids("bob")) == (4, [bobs.id])


@pytest.mark.parametrize("key", ["../../x", "a/b", "\0", "\udce4", "k" * 10**5, "."])
def test_any_text_is_a_key(jobs: VideoJobs, key: str) -> None:
    first = jobs.accept(new(), key, "asked")
    assert jobs.accept(new(), key, "asked") == first


def test_a_job_whose_writer_died_before_it_was_there_is_made_up_for(jobs: VideoJobs) -> None:
    first = jobs.accept(new(), "key", "asked")
    (key,) = objects(jobs, "jobs/")
    jobs.store.delete(key)
    assert jobs.read("ann", first.id) is None
    assert jobs.accept(new(), "key", "asked") == first
    assert jobs.read("ann", first.id) == first
    assert list(jobs.open_jobs()) == [first]


def test_a_deleted_job_does_not_come_back_by_its_key(jobs: VideoJobs) -> None:
    first = jobs.accept(new(), "key", "asked")
    jobs.delete(first.owner, first.id)
    assert jobs.accept(new(), "key", "asked").id == first.id
    assert jobs.ids("ann") == []
    assert list(jobs.open_jobs()) == []


def test_of_many_racing_with_one_key_all_get_one_job(jobs: VideoJobs) -> None:
    barrier = threading.Barrier(8)

    def ask(number: int) -> str:
        barrier.wait()
        return jobs.accept(new(number), "key", "asked").id

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == set(jobs.ids("ann"))
    assert len(jobs.ids("ann")) == 1
