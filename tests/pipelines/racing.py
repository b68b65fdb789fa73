"""Processes that start a race together."""

import subprocess
import sys
import time
from pathlib import Path


def race_processes(script: str, folder: Path, count: int) -> list[int]:
    """Run `script FOLDER NUMBER` in `count` processes; each says "ready", is told when to start, prints a number."""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(folder), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for number in range(count)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    start = time.time() + 0.3
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write(f"{start}\n")
        racer.stdin.flush()
    return [int(racer.communicate(timeout=60)[0]) for racer in racers]
