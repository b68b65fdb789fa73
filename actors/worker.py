"""The worker: a Ray actor, one process with one resident model."""

import logging
import os
import pickle
import sys
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ray

from actors.compile_cache import keep_compiled
from actors.order import FINISHED, Order, RankAnswer
from actors.seat import Seat
from actors.spec import PoolSpec
from cluster.errors import Cancelled, GangError, HandedOver, PabcastError, RequestError

if TYPE_CHECKING:
    from actors.engine import Engine, SnapshotPart, StopSignal
    from actors.rendezvous import Rendezvous

log = logging.getLogger("pabcast.worker")

_LEAST_PRIORITY = 19
"""setpriority(2)'s largest niceness."""


@dataclass(frozen=True, kw_only=True)
class About:
    """Where a worker runs."""

    pid: int
    node: str
    loaded: bool = False
    """Whether it holds its model."""
    ticket: str = ""
    """The request it runs."""
    generation: int = 0
    width: int = 1
    """Of the gang it is in."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a worker is in its run; `steps` counts the finished ones, from the run's first life on."""

    ticket: str = ""
    steps: int = 0
    snapshot: int = 0
    """The step of the last snapshot; 0 if there is none yet."""


class Worker:
    """Loads a model once and makes videos with it, alone or as a rank of a gang.

    Two groups of threads: `run` (one thread) forms groups and computes; `control` answers while it does.
    """

    def __init__(self, spec: PoolSpec) -> None:
        self._spec = spec
        self._lock = threading.Lock()
        self._signals: dict[str, StopSignal] = {}
        self._ended: str = ""
        self._running = self._loaded = False
        self._progress = Progress()
        self._part: SnapshotPart | None = None
        self._generation = 0
        self._rank, self._width = 0, 1
        self._engine: Engine | None = None
        self._meeting: Rendezvous | None = None

    @ray.method(concurrency_group="control")
    def about(self) -> About:
        """Say where it runs; answers once the process is up, before the model is loaded."""
        return About(
            pid=os.getpid(),
            node=ray.get_runtime_context().get_node_id(),
            loaded=self._loaded,
            ticket=self._progress.ticket if self._running else "",
            generation=self._generation,
            width=self._width,
        )

    @ray.method(concurrency_group="run")
    def load(self) -> str:
        """Load the model; return what prevents it, in one sentence, or an empty string."""
        os.environ.setdefault("TQDM_DISABLE", "1")
        keep_compiled(self._spec.compile_cache)
        import torch

        from actors.engine import Engine
        from actors.rendezvous import Rendezvous

        if self._spec.device == "cpu":
            _give_way()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(self._spec.threads_per_worker or max(1, cores // self._spec.workers))
        self._meeting = Rendezvous(_address(), self._spec.device)
        try:
            self._engine = Engine.load(
                self._spec.model, device=self._spec.device, dtype=self._spec.dtype, compiled=self._spec.compile
            )
        except PabcastError as error:
            return str(error)
        except Exception as error:
            log.exception("loading %s", self._spec.model)
            return f"the model in {self._spec.model} cannot be loaded: {_one_line(error)}"
        self._warm_up(self._engine)
        if not self._device_works():
            return f"its {self._spec.device} device works no more"
        self._loaded = True
        return ""

    @ray.method(concurrency_group="run")
    def open_store(self, width: int, timeout_s: float) -> tuple[str, int]:
        """On rank 0 to be: open the store that the ranks meet at; return (address, port)."""
        return self._need_meeting().open_store(width, timeout_s)

    @ray.method(concurrency_group="run")
    def join(self, seat: Seat) -> None:
        """Take a seat in a gang wider than 1; returns when all ranks have."""
        self._need_meeting().join(seat)
        self._generation, self._rank, self._width = seat.generation, seat.rank, seat.width

    @ray.method(concurrency_group="run")
    def reset(self, generation: int) -> None:
        """Leave whatever group it is in, and be rank 0 of 1 in `generation`."""
        self._need_meeting().leave()
        self._generation, self._rank, self._width = generation, 0, 1

    @ray.method(concurrency_group="run")
    def leave(self, generation: int) -> None:
        """Leave the group of `generation`; nothing happens if it is in another by now."""
        if generation == self._generation:
            self._need_meeting().leave()

    @ray.method(concurrency_group="run", num_returns=2)
    def generate(self, order: Order, generation: int) -> tuple[Any, RankAnswer]:
        """Make this rank's part of a video.

        Returns:
            ((frames uint8 (T of this rank, H, W, 3), latents or None), the small rest); errors are in the rest.
        """
        signal = self._signal(order.ticket)
        self._part = None
        self._running = True
        self._progress = Progress(ticket=order.ticket, steps=order.resume.step if order.resume else 0)
        try:
            return self._generate(order, generation, signal)
        except (RequestError, Cancelled, HandedOver) as error:
            # A new one: the old one's traceback would keep the run's tensors alive.
            part = self._part if isinstance(error, HandedOver) else None
            return None, RankAnswer(error=type(error)(str(error)), part=part)
        except Exception as error:
            log.exception("making %s", order.title)
            where = f"rank {self._rank} of {self._width} failed after {self._progress.steps} of {order.steps} steps"
            return None, RankAnswer(error=GangError(f"{where}: {_one_line(error)}"), died=not self._device_works())
        finally:
            self._running = False
            with self._lock:
                self._signals.pop(order.ticket, None)
                self._ended = order.ticket

    @ray.method(concurrency_group="control")
    def progress(self) -> Progress:
        """Say how far the present run is."""
        return self._progress

    @ray.method(concurrency_group="control")
    def snapshot(self) -> "SnapshotPart | None":
        """Hand out this rank's part of the last snapshot of the present run."""
        return self._part

    @ray.method(concurrency_group="control")
    def hold(self, ticket: str) -> int:
        """Make the run wait at its next step; return the last step it began."""
        return FINISHED if ticket == self._ended else self._signal(ticket).hold()

    @ray.method(concurrency_group="control")
    def stop_at(self, ticket: str, step: int) -> None:
        """Let the run go on and end it before `step`."""
        if ticket != self._ended:
            self._signal(ticket).stop_at(step)

    @ray.method(concurrency_group="control")
    def hand_over_after(self, ticket: str, step: int) -> None:
        """Let the run go on and leave it before the first full step after `step`."""
        if ticket != self._ended:
            self._signal(ticket).hand_over_after(step)

    def _generate(self, order: Order, generation: int, signal: "StopSignal") -> tuple[Any, RankAnswer]:
        if generation != self._generation or self._engine is None:
            raise GangError(f"it was called in generation {generation} and is in {self._generation}")
        request, options = order.unpack()
        output = self._engine.generate(
            request,
            options=options,
            group=self._need_meeting().group,
            stop=signal,
            on_step=self._finished,
            resume=order.resume,
            on_snapshot=self._keep,
        )
        rest = RankAnswer(
            first_frame=output.first_frame, report=pickle.dumps(output.report), figures=output.report.figures
        )
        return (output.frames, output.latents), rest

    def _warm_up(self, engine: "Engine") -> None:
        """Compile for what is expected; what fails here is tried again with the first such request, and told there."""
        expected = self._spec.expected
        if expected is None or not self._spec.compile:
            return
        try:
            done = engine.warm_up(expected.request, expected.options, expected.width)
        except Exception:
            log.exception("warming up for %s", expected.request.shape)
            return
        log.warning("%d graphs compiled in %.1f s", done.graphs, done.seconds)

    def _device_works(self) -> bool:
        """Whether the device takes work after an error; a CUDA context may be spoilt for good."""
        import torch

        if self._spec.device != "cuda":
            return True
        try:
            torch.cuda.synchronize()
        except RuntimeError:
            log.exception("the device works no more")
            return False
        return True

    def _finished(self, step: int) -> None:
        self._progress = replace(self._progress, steps=step + 1)

    def _keep(self, part: "SnapshotPart") -> None:
        self._part = part
        self._progress = replace(self._progress, snapshot=part.step)

    def _signal(self, ticket: str) -> "StopSignal":
        """The brake of a run; made by whoever comes first, the run or the one who stops it."""
        from actors.engine import StopSignal

        with self._lock:
            return self._signals.setdefault(ticket, StopSignal())

    def _need_meeting(self) -> "Rendezvous":
        if self._meeting is None:
            raise GangError("the model is not loaded yet")
        return self._meeting


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or ["no message"]
    # Gloo goes on with advice for its own developers.
    return f"{type(error).__name__}: {lines[0].split('. This is typically')[0][:300]}"


def _give_way() -> None:
    """Let this thread, and those that it starts, compute when nothing else wants the processor.

    Heartbeats, requests and commits are handled in between by other threads and processes, and need little of it.
    """
    if sys.platform == "linux":  # where a thread has a niceness of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LEAST_PRIORITY)


def _address() -> str:
    """The address that the other nodes know this one by."""
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return address


THREADS: Any = {"concurrency_groups": {"run": 1, "control": 4}}
RemoteWorker: Any = ray.remote(**THREADS)(Worker)
