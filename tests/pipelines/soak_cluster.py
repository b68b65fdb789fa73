"""The cluster of a soak: simulated nodes that can be lost, and what is left of a job when it has ended."""

import os
import shutil
import signal
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.cluster_utils import Cluster
from ray.util.placement_group import placement_group_table

MARK = "PABCAST_SOAK"
"""In the environment of every process of the cluster."""
SHARED_MEMORY = Path("/dev/shm")
END_TIMEOUT_S = 30.0
RAYS_OWN = {
    "datasets_stats_actor": "ray::_StatsActor",
    "ActorLocationTracker": "ray::ActorLocationTracker",
    "AutoscalingCoordinator": "ray::_AutoscalingCoordinatorActor",
}
"""Actors that Ray Data starts once in a cluster and keeps, and their processes' titles."""
NODES_OWN = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""Processes of every node: those without work are kept for later."""


class SoakCluster:
    """A head without CPUs and some nodes; ended with the `with`."""

    def __init__(self, nodes: int, cpus: int) -> None:
        os.environ |= {MARK: uuid.uuid4().hex, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        self._cpus = cpus
        # Not in OUT: the path of a Unix socket has at most 107 bytes.
        self.folder = tempfile.mkdtemp(prefix="soak-", dir="/tmp")
        self._shared = set(SHARED_MEMORY.iterdir())
        self._cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "temp_dir": self.folder, "include_dashboard": False}
        )
        self._nodes = [self._add() for _ in range(nodes)]
        ray.init(address=self._cluster.address, log_to_driver=False)

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def __enter__(self) -> "SoakCluster":
        return self

    def __exit__(self, *_: object) -> None:
        ray.shutdown()
        self._cluster.shutdown()

    def kill(self, pid: int) -> bool:
        """Kill one process of the cluster; False if it is gone."""
        return self._signal(pid, signal.SIGKILL)

    def stop(self, pid: int) -> bool:
        """Stop one, so that it hangs; False if it is gone or hangs already."""
        stopped = {process.pid for process in self._marked() if process.status() == psutil.STATUS_STOPPED}
        return pid not in stopped and self._signal(pid, signal.SIGSTOP)

    def lose(self, node_id: str) -> bool:
        """Kill all processes of a node, and add another node; False if it is gone."""
        node = next((node for node in self._nodes if node.node_id == node_id), None)
        if node is None:
            return False
        self._nodes.remove(node)
        (raylet,) = node.all_processes["raylet"]
        children = psutil.Process(raylet.process.pid).children(recursive=True)
        self._cluster.remove_node(node, allow_graceful=False)
        for process in children:
            self._signal(process.pid, signal.SIGKILL)
        self._nodes.append(self._add())
        return True

    def left(self, timeout_s: float) -> list[str]:
        """What a job has left in the cluster, unless it goes within so many seconds."""
        deadline = time.monotonic() + timeout_s
        while (found := self._left()) and time.monotonic() < deadline:
            time.sleep(0.5)
        return found

    def outlived(self) -> list[str]:
        """What is left after the end of the cluster."""
        deadline = time.monotonic() + END_TIMEOUT_S
        while (found := self._marked()) and time.monotonic() < deadline:
            time.sleep(0.5)
        left = [f"process {process.pid} {_title(process)!r} after the cluster's end" for process in found]
        for process in found:
            process.kill()
        return left + self._shared_files()

    def remove_logs(self) -> None:
        """Remove the folder of the cluster, which has Ray's logs."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _add(self) -> Any:
        return self._cluster.add_node(num_cpus=self._cpus, temp_dir=self.folder)

    def _signal(self, pid: int, number: signal.Signals) -> bool:
        """Only to a process of this cluster: pids are used again."""
        if pid not in {process.pid for process in self._marked()}:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def _left(self) -> list[str]:
        names = {entry["name"] for entry in ray.util.list_named_actors(all_namespaces=True)}
        actors = [f"actor {name}" for name in sorted(names - RAYS_OWN.keys())]
        groups = [
            f"placement group {name} {group['state']}"
            for name, group in placement_group_table().items()
            if group["state"] != "REMOVED"
        ]
        kept = (*NODES_OWN, *RAYS_OWN.values())
        busy = [
            f"process {process.pid} {title!r}"
            for process in self._marked()
            if (title := _title(process)).startswith("ray::") and not title.startswith(kept)
        ]
        return actors + groups + busy + self._shared_files()

    def _shared_files(self) -> list[str]:
        """New files that no process outside the cluster has mapped."""
        new = {file for file in SHARED_MEMORY.iterdir() if file not in self._shared}
        strange = {
            name for process in psutil.process_iter() if not self._is_marked(process) for name in _mapped(process)
        }
        return [f"shared memory {file}" for file in sorted(new) if str(file) not in strange] if new else []

    def _marked(self) -> list[psutil.Process]:
        """The living processes of the cluster and its jobs, this one excepted."""
        return [process for process in psutil.process_iter() if process.pid != os.getpid() and self._is_marked(process)]

    def _is_marked(self, process: psutil.Process) -> bool:
        """By its environment, which a long title overwrites, or by the logs that it has open."""
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            if process.environ().get(MARK) == os.environ[MARK]:
                return True
            return any(file.path.startswith(f"{self.folder}/") for file in process.open_files())
        except (psutil.Error, OSError):
            return False


def _mapped(process: psutil.Process) -> list[str]:
    try:
        return [area.path for area in process.memory_maps()]
    except (psutil.Error, OSError):
        return []


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()[:2])
    except psutil.Error:
        return ""
