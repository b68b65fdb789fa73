"""The pool's client: how drivers and Ray Data actors have videos made."""

import asyncio
import logging
import pickle
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import ray

from actors.glimpse import Glimpse
from actors.heartbeat import GONE_TIMEOUT_S, Heartbeat
from actors.order import Answer, Order, Wish
from actors.pool import MAX_CALLS, RemotePool
from actors.result import VideoResult
from actors.spec import PoolSpec
from actors.status import PoolStatus
from cluster.errors import ClusterError, GangError
from cluster.placement import beside_us, cluster_free, cluster_total
from cluster.plan import Priority

if TYPE_CHECKING:
    from actors.engine.request import RunOptions, VideoRequest

log = logging.getLogger("pabcast.client")

POOL_NAME = "pabcast-pool"
NAMESPACE = "pabcast"
_DYING_TIMEOUT_S = 60.0
_HASTY_TIMEOUT_S = 2.0
_FULL_WAIT_S = 0.5
_PROGRESS_S = 0.5
T = TypeVar("T")


class PoolClient:
    """A handle to a pool. It pickles; copies in the driver's Ray actors submit in the driver's name."""

    def __init__(self, actor: Any, owner: str, heartbeat: Heartbeat | None = None) -> None:
        self._actor = actor
        self._owner = owner
        self._heartbeat = heartbeat

    @classmethod
    def connect(cls, spec: PoolSpec, name: str = POOL_NAME, namespace: str = NAMESPACE) -> "PoolClient":
        """Start the pool, or join the one that is there; close the client to leave it.

        Raises:
            ClusterError: there is a pool of that name with another spec.
        """
        spec = spec.resolve(cluster_total("GPU"))
        client, owner = uuid.uuid4().hex, ray.get_runtime_context().get_job_id()
        why = "its process died"
        deadline = time.monotonic() + _DYING_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                actor = RemotePool.options(
                    name=name,
                    namespace=namespace,
                    lifetime="detached",
                    get_if_exists=True,
                    num_cpus=0,
                    max_restarts=-1,
                    max_concurrency=MAX_CALLS,
                    scheduling_strategy=beside_us(),
                ).remote(spec, name, namespace)
                welcome = ray.get(actor.attach.remote(client, owner, spec))
            except ray.exceptions.RayActorError:
                time.sleep(0.2)  # one that was about to end
                continue
            if welcome.kind == "joined":
                return cls(actor, owner, Heartbeat(actor, client, owner, spec.client_timeout_s))
            if welcome.kind == "other spec":
                raise ClusterError(f"the pool {name!r} runs with {welcome.why}; end what uses it, or ask for the same")
            why = welcome.why
            time.sleep(0.2)
        raise ClusterError(f"the pool {name!r} was still there {_DYING_TIMEOUT_S:g} s after it failed: {why}")

    @classmethod
    def attach(cls, name: str = POOL_NAME, namespace: str = NAMESPACE) -> "PoolClient":
        """A handle to a running pool, for the actors and tasks of a driver that is connected to it.

        Raises:
            ClusterError: no pool of that name runs.
        """
        try:
            actor = ray.get_actor(name, namespace)
        except ValueError:
            raise ClusterError(f"no pool {name!r} runs in this cluster; start one with PoolClient.connect") from None
        return cls(actor, ray.get_runtime_context().get_job_id())

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until every worker has loaded the model.

        Raises:
            ClusterError: the cluster cannot hold the workers, the model cannot be loaded, or it takes longer.
        """
        try:
            problem = self._get("ready", timeout_s=timeout_s)
        except ray.exceptions.GetTimeoutError:
            status = self.status()
            states = [member.state for member in status.members]
            loaded = sum(state not in ("starting", "loading") for state in states)
            raise ClusterError(
                f"after {timeout_s:g} s {loaded} of {status.workers} workers are ready, {states.count('loading')} "
                f"load the model and {status.workers - loaded - states.count('loading')} wait for a place in the "
                f"cluster, where {cluster_free('CPU', 'GPU')} are free"
            ) from None
        if problem:
            raise ClusterError(problem)

    async def submit(
        self,
        request: "VideoRequest",
        *,
        width: int = 1,
        priority: Priority = "offline",
        attempts: int = 1,
        seconds: Mapping[int, float] | None = None,
        options: "RunOptions | None" = None,
        key: str | None = None,
        on_progress: Callable[[int], None] | None = None,
        on_glimpse: Callable[[Glimpse], None] | None = None,
        progress_s: float = _PROGRESS_S,
    ) -> VideoResult:
        """Have a video made by a gang of `width`; `key` (its sample_id if None) is what `cancel` takes.

        A video that loses a rank goes on from its last snapshot; one that loses `attempts` without getting further
        is given up. With predicted `seconds` by width, `width` included, it may be given one of those instead while
        workers are idle.

        `on_progress` hears of the number of finished steps, every `progress_s` if it changed, and `on_glimpse` of
        what there is to see when there is a new snapshot. Cancelling the awaiting task cancels the request.

        Raises:
            RequestError: the video can never be made as asked.
            GangError: a rank was lost; it can be tried again.
            Cancelled: somebody cancelled it.
            ClusterError: wider than the pool, or the pool is gone.
        """
        from actors.engine.request import RunOptions

        ticket = uuid.uuid4().hex
        wish = Wish(width=width, priority=priority, attempts=attempts, seconds=seconds or {})
        order = Order.pack(request, options or RunOptions(), ticket=ticket, key=key or request.sample_id, wish=wish)
        following = None
        if on_progress:
            following = asyncio.ensure_future(self._follow(ticket, on_progress, on_glimpse, progress_s))
        try:
            return await self._made(order)
        except asyncio.CancelledError:
            self._actor.forgo.remote(ticket)
            raise
        except ray.exceptions.RayActorError as error:
            raise ClusterError("the pool is gone: its process died, or nobody was connected to it") from error
        finally:
            if following:
                following.cancel()

    def submit_sync(self, request: "VideoRequest", **how: Any) -> VideoResult:
        """`submit` for code without an event loop; Ctrl-C cancels the request."""
        return _run(self.submit(request, **how))

    def cancel(self, key: str) -> int:
        """Cancel the requests with this key, waiting or running; return how many there were."""
        count: int = self._get("cancel", key)
        return count

    def status(self, timeout_s: float | None = None) -> PoolStatus:
        """The pool at this moment; `TimeoutError` if the answer takes longer."""
        status: PoolStatus = self._get("status", timeout_s=timeout_s)
        return status

    def close(self, timeout_s: float = GONE_TIMEOUT_S) -> None:
        """Leave the pool; the last one to leave waits, so long at most, until nothing of it is left."""
        if self._heartbeat:
            self._heartbeat.stop(timeout_s)
            self._heartbeat = None

    def __enter__(self) -> "PoolClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close(_HASTY_TIMEOUT_S if kind is KeyboardInterrupt else GONE_TIMEOUT_S)

    async def __aenter__(self) -> "PoolClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def __reduce__(self) -> tuple[Any, ...]:
        return PoolClient, (self._actor, self._owner)

    async def _made(self, order: Order) -> VideoResult:
        """Have it made, again if the frames were lost on their way here."""
        for attempt in range(1, order.attempts + 1):
            answer = await self._ask(order)
            try:
                return await _video(answer)
            except FramesLost:
                if attempt == order.attempts:
                    raise
        raise GangError("it was never tried")

    async def _ask(self, order: Order) -> Answer:
        """The pool's answer; asked again while the queue is full, and when the pool's process was started again."""
        while True:
            try:
                answer: Answer | None = await self._actor.submit.remote(order, self._owner)
            except ray.exceptions.ActorUnavailableError:
                answer = None
            if answer is not None:
                return answer
            await asyncio.sleep(_FULL_WAIT_S)

    async def _follow(
        self,
        ticket: str,
        on_progress: Callable[[int], None],
        on_glimpse: Callable[[Glimpse], None] | None,
        progress_s: float,
    ) -> None:
        last, seen = -1, 0
        while True:
            await asyncio.sleep(progress_s)
            try:
                steps = await self._actor.steps_done.remote(ticket, last)
                if on_glimpse and steps and steps != last:
                    glimpse: Glimpse | None = await self._actor.glimpse.remote(ticket, seen)
                    if glimpse is not None:
                        seen = glimpse.step
                        on_glimpse(glimpse)
            except ray.exceptions.ActorUnavailableError:
                continue
            except ray.exceptions.RayActorError:
                return
            if steps is not None and steps != last:
                last = steps
                on_progress(steps)

    def _get(self, method: str, *arguments: Any, timeout_s: float | None = None) -> Any:
        """Ask the pool; waits while its process is started again."""
        deadline = time.monotonic() + (_DYING_TIMEOUT_S if timeout_s is None else timeout_s)
        while True:
            try:
                return ray.get(getattr(self._actor, method).remote(*arguments), timeout=timeout_s)
            except ray.exceptions.ActorUnavailableError as error:
                if time.monotonic() > deadline:
                    raise TimeoutError("the pool's process is being started again") from error
                time.sleep(_PROGRESS_S)
            except ray.exceptions.RayActorError as error:
                raise ClusterError("the pool is gone: its process died, or nobody was connected to it") from error


class FramesLost(GangError):
    """A rank died after its video was made and before its frames were fetched."""


async def _video(answer: Answer) -> VideoResult:
    """Fetch the ranks' pixels, in the order of their frames."""
    if answer.error is not None:
        raise answer.error
    parts = sorted(answer.parts, key=lambda part: part[0])
    try:
        pixels = await asyncio.gather(*(ref for _, ref in parts))
    except ray.exceptions.RayError as error:
        raise FramesLost(f"a rank was lost before its frames were fetched: {type(error).__name__}") from error
    latents = [latents for _, latents in pixels if latents is not None]
    return VideoResult(
        frames=np.concatenate([frames for frames, _ in pixels]),
        latents=np.array(latents[0]) if latents else None,
        report=pickle.loads(answer.report),
        width=answer.width,
        generation=answer.generation,
        queue_seconds=answer.queue_seconds,
        form_seconds=answer.form_seconds,
    )


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, also below a running event loop (as in a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    box: list[T] = []
    errors: list[BaseException] = []

    def target() -> None:
        try:
            box.append(asyncio.run(work))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return box[0]
