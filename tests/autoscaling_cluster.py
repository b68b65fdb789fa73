"""A Ray cluster that grows and shrinks, simulated on this machine.

Ray's own `AutoscalingCluster` needs a file that its wheel lacks, and runs `ray stop --force`, which ends every Ray of
the machine. This one starts and ends its own processes only. Its nodes are raylets that the second version of Ray's
autoscaler starts through Ray's `FakeMultiNodeProvider`; the first version disregards labels.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from ray._private.state import GlobalState
from ray._private.utils import set_kill_on_parent_death_linux
from ray._raylet import GcsClientOptions  # type: ignore[attr-defined]
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID, FAKE_HEAD_NODE_TYPE

from cluster.demand import Market
from cluster.placement import label_selector
from pipelines.places import ROOT
from tests.ray_head import NO_TOKEN, RAY, free_port

PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
START_TIMEOUT_S = 60.0
_MARK = "PABCAST_TEST_CLUSTER"
"""The environment variable that tells this cluster's processes from all others."""


@dataclass(frozen=True, kw_only=True)
class NodeType:
    """Nodes that the autoscaler may add."""

    cpus: int
    max_nodes: int
    market: Market = "any"


@dataclass(frozen=True, kw_only=True)
class Node:
    """A living worker node."""

    node_id: str
    cpus: float
    labels: Mapping[str, str]


class AutoscalingCluster:
    """A head without CPUs, and nodes of some types when something waits for them: `with AutoscalingCluster(...)`.

    Drivers must run with its `environment`.
    """

    def __init__(self, *node_types: NodeType, idle_timeout_s: float = 3.0) -> None:
        self._node_types = node_types
        self._idle_timeout_s = idle_timeout_s
        self._port = free_port()
        self._stack = ExitStack()
        self.address = f"127.0.0.1:{self._port}"
        self.environment = {**NO_TOKEN, "RAY_ADDRESS": self.address, _MARK: self.address}
        self._state = GlobalState()  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            # Not in tmp_path: the path of a Unix socket has at most 107 bytes.
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True))
            )
            stack.callback(self._kill)
            stack.callback(self._state.disconnect)
            self._start(folder)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def nodes(self) -> list[Node]:
        """The living nodes but the head, by their ids."""
        table = self._state.node_table()  # type: ignore[no-untyped-call]
        living = [node for node in table if node["Alive"] and node["NodeID"] != FAKE_HEAD_NODE_ID]
        found = [
            Node(node_id=node["NodeID"], cpus=node["Resources"].get("CPU", 0.0), labels=node["Labels"])
            for node in living
        ]
        return sorted(found, key=lambda node: node.node_id)

    def wait_for_nodes(self, count: int, timeout_s: float = 60.0) -> list[Node]:
        """The nodes, as soon as there are so many.

        Raises:
            TimeoutError: there were more or fewer all the time.
        """
        _wait(lambda: len(self.nodes()) == count, timeout_s, lambda: f"{count} nodes awaited: {self.nodes()}")
        return self.nodes()

    def drain(self, node_id: str, deadline_s: int) -> None:
        """Tell the cluster that a node will be taken away in so many seconds, as a cloud does with a spot node."""
        command = [RAY, "drain-node", f"--address={self.address}", f"--node-id={node_id}"]
        command += ["--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=a test's"]
        command += [f"--deadline-remaining-seconds={deadline_s}"]
        subprocess.run(command, env=self.environment, check=True, capture_output=True, timeout=60)

    def _start(self, folder: Path) -> None:
        config = folder / "autoscaling.json"
        config.write_text(json.dumps(self._config()))
        command = [RAY, "start", "--head", "--block", f"--port={self._port}", "--num-cpus=0", "--num-gpus=0"]
        command += [f"--autoscaling-config={config}", f"--temp-dir={folder}", "--node-ip-address=127.0.0.1"]
        command += [f"--ray-client-server-port={free_port()}", "--include-dashboard=false", "--disable-usage-stats"]
        environment = {
            **self.environment,
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_FAKE_CLUSTER": "1",
            "RAY_enable_autoscaler_v2": "1",
            "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
            "RAY_NODE_TYPE_NAME": FAKE_HEAD_NODE_TYPE,
        }
        output = folder / "head.txt"
        with output.open("wb") as file:
            # The head dies with a test run that is killed, too, and its children with it.
            head = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
                preexec_fn=set_kill_on_parent_death_linux,
            )

        def started() -> bool:
            if head.poll() is not None:
                raise RuntimeError(f"the head ended with {head.returncode}: {output.read_text()[-2000:]}")
            return "Ray runtime started" in output.read_text()

        _wait(started, START_TIMEOUT_S, output.read_text)
        options = GcsClientOptions.create(self.address, None, True, False)
        self._state._initialize_global_state(options)

    def _config(self) -> dict[str, object]:
        """What `ray start --autoscaling-config` takes; it insists on the empty keys."""
        types = {
            f"type_{index}": {
                "resources": {"CPU": kind.cpus},
                "labels": label_selector(kind.market),
                "node_config": {},
                "min_workers": 0,
                "max_workers": kind.max_nodes,
            }
            for index, kind in enumerate(self._node_types)
        }
        head = {"resources": {}, "node_config": {}, "max_workers": 0}
        commands = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
        lists = (*commands, "head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files")
        return {
            "cluster_name": "pabcast-test",
            "max_workers": sum(kind.max_nodes for kind in self._node_types),
            "idle_timeout_minutes": self._idle_timeout_s / 60,
            "head_node_type": FAKE_HEAD_NODE_TYPE,
            "available_node_types": {FAKE_HEAD_NODE_TYPE: head, **types},
            "provider": {
                "type": "external",
                "module": PROVIDER,
                # Without it the provider's nodes look for the head on port 6379.
                "gcs_address": self.address,
                "head_node_id": FAKE_HEAD_NODE_ID,
                "launch_multiple": True,
                "use_node_id_as_ip": True,
                "disable_node_updaters": True,
                "disable_launch_config_check": True,
            },
            **{key: [] for key in (*lists, "rsync_exclude", "rsync_filter")},
            **{key: {} for key in ("auth", "docker", "file_mounts")},
            "file_mounts_sync_continuously": False,
            "upscaling_speed": 1.0,
        }

    def _kill(self) -> None:
        """End the head's processes, those of the nodes, which are nobody's children any more, and what they started."""
        mine = [process for process in psutil.process_iter() if self._is_mine(process)]
        everything = set(mine)
        for process in mine:
            with suppress(psutil.Error):
                everything.update(process.children(recursive=True))
        for process in everything:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(everything, timeout=10)

    def _is_mine(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return process.pid != os.getpid() and process.environ().get(_MARK) == self.address
        return False


def _wait(done: Callable[[], bool], timeout_s: float, describe: Callable[[], str]) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() >= deadline:
            raise TimeoutError(f"after {timeout_s:g} s: {describe()}")
        time.sleep(0.2)
