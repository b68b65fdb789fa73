"""Checks in processes of their own: whatever one does, it is a line, and the others have theirs."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import psutil
import pytest

from pipelines.doctor.examination import unexpected
from pipelines.doctor.wanted import Wanted
from pipelines.doctor.ward import Check, examine
from pipelines.places import ROOT
from tests.pipelines.doctor import patients

WANTED = Wanted(store="s3://bucket/x")


def test_the_findings_come_in_the_order_of_the_checks_whichever_is_first() -> None:
    checks = [Check(name=str(number), look=patients.well) for number in range(6)]
    checks.insert(0, Check(name="hanging", look=patients.hanging, limit_s=3))
    findings = examine(checks, WANTED)
    assert [finding.name for finding in findings] == ["hanging", *["well"] * 6]
    assert findings[1].found == "the store is s3://bucket/x"


@pytest.mark.parametrize(
    ("look", "found"),
    [
        (patients.raising, "unexpected LookupError: no such thing"),
        (patients.dying, "the process that looked at it was ended by SIGABRT"),
        (patients.leaving, "the process that looked at it ended with 3"),
    ],
)
def test_a_check_that_breaks_is_a_failed_line_and_the_next_is_not(look, found, capfd) -> None:
    findings = examine([Check(name="broken", look=look), Check(name="well", look=patients.well)], WANTED)
    assert [(finding.name, finding.status) for finding in findings] == [("broken", "failed"), ("well", "ok")]
    assert findings[0].found == found
    assert findings[0].way_out
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("look", [patients.hanging, patients.stubborn])
def test_a_check_that_hangs_has_failed_once_its_time_is_over_and_is_gone(look) -> None:
    begun, before = time.monotonic(), psutil.Process().children()
    (finding,) = examine([Check(name="hanging", look=look, limit_s=4)], WANTED)
    assert (finding.status, finding.found) == ("failed", "no answer within 4 s")
    assert time.monotonic() - begun < 30
    left = [child for child in psutil.Process().children() if child not in before]
    assert [child for child in left if child.status() != psutil.STATUS_ZOMBIE] == []


def test_what_libraries_print_reaches_stderr_only_and_only_if_it_is_asked_for(capfd) -> None:
    check = Check(name="chatty", look=patients.chatty)
    assert examine([check], WANTED)[0].status == "ok"
    assert capfd.readouterr() == ("", "")
    examine([check], WANTED, verbose=True)
    out, err = capfd.readouterr()
    assert (out, sorted(err.split("\n"))) == ("", ["", "said on stdout", "written to 1", "written to 2"])


def test_a_traceback_is_shown_where_it_is_asked_for(capfd) -> None:
    examine([Check(name="raising", look=patients.raising)], WANTED, verbose=True)
    assert "in raising\n    raise LookupError" in capfd.readouterr().err


def test_a_check_does_not_outlive_a_command_that_was_killed_for_long() -> None:
    code = (
        "from pipelines.doctor.wanted import Wanted\nfrom pipelines.doctor.ward import Check, examine\n"
        "from tests.pipelines.doctor import patients\n"
        "examine([Check(name='hanging', look=patients.hanging, limit_s=1)], Wanted())\n"
    )
    command = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    children: list[psutil.Process] = []
    while not children and command.poll() is None:
        children = psutil.Process(command.pid).children()
    command.kill()
    command.wait()
    assert children
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []


def test_a_check_that_is_stopped_takes_back_first_what_it_wrote(tmp_path) -> None:
    file = tmp_path / "probe"

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    def wait_for_it() -> None:
        while not file.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, stop)
    watcher = threading.Thread(target=wait_for_it, daemon=True)
    watcher.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            examine([Check(name="tidying", look=patients.tidying)], Wanted(store=str(file)))
        ended = time.monotonic()
    finally:
        signal.signal(signal.SIGUSR1, before)
    watcher.join()
    assert not file.exists()
    assert time.monotonic() - ended < 1


def test_without_a_folder_for_temporary_files_a_check_says_so(monkeypatch) -> None:
    def none() -> str:
        raise FileNotFoundError("No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    found = unexpected("torch", RuntimeError("it broke"))
    assert found.found == "it needs a folder for temporary files, and none can be written"
    assert "set TMPDIR" in found.way_out
