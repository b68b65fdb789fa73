"""A driver of its own: `python -m tests.actors.driver ADDRESS MODEL STEPS`.

Connects to the cluster and the pool, prints the pids of the workers, has one video of STEPS steps made, prints that
it is done, and stays until it is interrupted.
"""

import signal
import sys
import threading
import time

import ray

from actors.engine import VideoRequest
from actors.pool_client import PoolClient
from actors.spec import PoolSpec


def main(address: str, model: str, steps: int) -> None:
    # A shell that starts a test run in the background has it ignore Ctrl-C, and so all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ray.init(address=address, log_to_driver=False)
    spec = PoolSpec(model=model, workers=2, device="cpu", threads_per_worker=1, client_timeout_s=3)
    with PoolClient.connect(spec) as pool:
        pool.wait_ready(120)
        print("pids", *(member.pid for member in pool.status().members), flush=True)
        threading.Thread(target=tell_when_busy, args=(pool,), daemon=True).start()
        request = VideoRequest(
            prompt="a",
            height=64,
            width=64,
            num_frames=16,
            steps=steps,
            guidance_scale=3.0,
            model=model,
            model_revision="tiny",
        )
        print("made", pool.submit_sync(request, width=2).frames.shape, flush=True)
        time.sleep(600)


def tell_when_busy(pool: PoolClient) -> None:
    while pool.status().busy_workers == 0:
        time.sleep(0.1)
    print("busy", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
