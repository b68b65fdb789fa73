"""Images, start commands, resources, shared memory and the time to drain of every overlay's pods."""

import os
import re
import shlex
import subprocess
import sys

import pytest
from ray.scripts.scripts import start

from cluster.placement import label_selector
from tests.infra.kuberay.operator import Pod, pods_of, quantity
from tests.infra.kuberay.pod_security import containers
from tests.infra.kuberay.rendering import CUSTOM, OVERLAYS, cluster_spec, custom, render, walk

LEAVE_S = 10
"""In which drain.py starts, asks the head and sees that a node has gone."""
END_S = 15
"""In which `ray start` ends its processes."""
SPOT_NOTICE_S = 120
"""From AWS's notice to the end of a spot node."""
CONNECTION_BYTES = 10 * 2**20
RING_CHANNELS, PEER_CHANNELS = 32, 4
"""NCCL's: buffers of a connection by shared memory, and how many connections a rank has with the others."""


def workers(overlay: str) -> list[Pod]:
    found = [pod for pod in pods_of(render(overlay)) if pod.group not in ("head", "submitter")]
    assert found
    return found


def nodes(overlay: str) -> list[Pod]:
    return [pod for pod in pods_of(render(overlay)) if pod.start]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_has_the_one_image_and_its_version(overlay: str) -> None:
    images = {container["image"] for pod in pods_of(render(overlay)) for container in containers(pod.spec)}
    assert images == {"pabcast:0.1.0-cpu" if overlay.startswith("cpu") else "<registry>/pabcast:0.1.0-cuda"}
    assert not any(str(value).endswith(":latest") for _, value in walk(list(render(overlay))))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_start_command_is_one_that_ray_takes(overlay: str) -> None:
    known = {option for parameter in start.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for pod in nodes(overlay):
        flags = [word.partition("=")[0] for word in shlex.split(pod.start)]
        assert set(flags) - known == set(), pod.group
        start.make_context("start", shlex.split(pod.start))


def test_a_flag_that_ray_does_not_have_would_be_found() -> None:
    with pytest.raises(Exception, match="No such option"):
        start.make_context("start", ["--head", "--object-store-memry=1"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_cluster_scales_from_zero_by_rays_second_autoscaler(overlay: str) -> None:
    spec = cluster_spec(render(overlay))
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["autoscalerOptions"]["version"] == "v2"
    for group in spec["workerGroupSpecs"]:
        assert (group["replicas"], group["minReplicas"]) == (0, 0)
        assert group["maxReplicas"] >= 1


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_rays_token_is_wanted_and_comes_from_a_secret(overlay: str) -> None:
    spec = cluster_spec(render(overlay))
    assert spec["authOptions"] == {"mode": "token", "secretName": "pabcast-ray-token"}
    assert tuple(map(int, spec["rayVersion"].split("."))) >= (2, 52, 0)


def test_the_version_of_ray_is_the_one_that_the_project_pins() -> None:
    import ray

    pinned = ray.__version__.rpartition(".")[0]
    assert {cluster_spec(render(overlay))["rayVersion"].rpartition(".")[0] for overlay in OVERLAYS} == {pinned}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_says_what_it_needs_and_may_have(overlay: str) -> None:
    for pod in pods_of(render(overlay)):
        for container in containers(pod.spec):
            resources = container["resources"]
            for name in ("cpu", "memory"):
                assert name in resources["requests"], (pod.group, container["name"])
                assert name in resources["limits"], (pod.group, container["name"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_worker_has_longer_to_end_than_its_drain_takes(overlay: str) -> None:
    for pod in workers(overlay):
        drain_s = float(pod.environment["PABCAST_DRAIN_S"])
        again_s = float(pod.environment["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
        command = pod.ray["lifecycle"]["preStop"]["exec"]["command"]
        assert command == ["sh", "-c", 'exec python /opt/pabcast/drain.py "$PABCAST_DRAIN_S"']
        assert drain_s >= 60
        assert pod.spec["terminationGracePeriodSeconds"] >= drain_s + again_s + LEAVE_S + END_S, pod.group


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_program_that_drains_is_where_the_hook_runs_it(overlay: str) -> None:
    for pod in workers(overlay):
        mount = next(mount for mount in pod.ray["volumeMounts"] if mount["mountPath"] == "/opt/pabcast")
        assert pod.volume(mount["name"])["configMap"] == {"name": "pabcast-drain"}
    (drain,) = (thing for thing in render(overlay) if thing["metadata"]["name"] == "pabcast-drain")
    assert list(drain["data"]) == ["drain.py"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_head_is_not_drained_as_it_has_nowhere_to_go(overlay: str) -> None:
    (head,) = (pod for pod in nodes(overlay) if pod.group == "head")
    assert head.environment["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"] == "0"
    assert "lifecycle" not in head.ray
    assert head.spec["terminationGracePeriodSeconds"] >= END_S
    assert "--num-cpus=0" in head.start


def test_a_spot_worker_is_gone_before_its_node_is() -> None:
    spot = [pod for pod in workers("gpu-cluster") if "spot" in pod.group]
    assert len(spot) == 2
    assert all(pod.spec["terminationGracePeriodSeconds"] <= SPOT_NOTICE_S for pod in spot)


def shm_needed(gpus: int) -> int:
    """Bytes of NCCL's connections between the ranks of a node's widest gang, where all go by shared memory."""
    return gpus * (RING_CHANNELS + (gpus - 1) * PEER_CHANNELS) * CONNECTION_BYTES if gpus > 1 else 0


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_shared_memory_holds_the_object_store_and_the_process_groups_and_fits_the_container(overlay: str) -> None:
    for pod in nodes(overlay):
        limits = pod.ray["resources"]["limits"]
        mount = next(mount for mount in pod.ray["volumeMounts"] if mount["mountPath"] == "/dev/shm")
        shm = pod.volume(mount["name"])["emptyDir"]
        assert shm["medium"] == "Memory"
        size, store = quantity(shm["sizeLimit"]), int(re.search(r"--object-store-memory=(\d+)", pod.start)[1])
        assert size >= store + shm_needed(int(limits.get("nvidia.com/gpu", 0))), pod.group
        assert size <= quantity(limits["memory"]) / 2, pod.group


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_a_pod_may_write_to_its_disk_is_within_its_limit(overlay: str) -> None:
    for pod in pods_of(render(overlay)):
        limit = quantity(pod.ray["resources"]["limits"]["ephemeral-storage"])
        folders = [volume["emptyDir"] for volume in pod.spec["volumes"] if "emptyDir" in volume]
        assert all("sizeLimit" in folder for folder in folders), pod.group
        on_disk = [quantity(folder["sizeLimit"]) for folder in folders if folder.get("medium") != "Memory"]
        assert on_disk
        assert sum(on_disk) <= limit, pod.group


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_disk_is_asked_for_as_much_as_the_object_store_may_spill_twice(overlay: str) -> None:
    for pod in nodes(overlay):
        store = int(re.search(r"--object-store-memory=(\d+)", pod.start)[1])
        assert quantity(pod.ray["resources"]["requests"]["ephemeral-storage"]) >= 2 * store, pod.group


def test_pods_that_nothing_waits_for_any_more_are_given_up_before_they_start() -> None:
    name = "RAY_AUTOSCALER_PENDING_NODE_IDLE_TIMEOUT_S"
    heads = [pod for overlay in OVERLAYS for pod in nodes(overlay) if pod.group == "head"]
    given = {
        variable["value"] for pod in heads for variable in pod.spec["containers"][1]["env"] if variable["name"] == name
    }
    assert given == {"60"}
    program = f"from ray.autoscaler.v2.instance_manager.config import {name}; print({name})"
    environment = {**os.environ, name: "60"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "60", done.stderr


def test_gpu_groups_have_the_label_by_which_the_pool_asks_for_their_market() -> None:
    groups = cluster_spec(render("gpu-cluster"))["workerGroupSpecs"]
    labels = {group["groupName"]: group["labels"] for group in groups}
    assert labels == {
        "on-demand-1-gpu": label_selector("on_demand"),
        "on-demand-8-gpu": label_selector("on_demand"),
        "spot-1-gpu": label_selector("spot"),
        "spot-8-gpu": label_selector("spot"),
    }


@pytest.mark.parametrize("group", ["on-demand-1-gpu", "on-demand-8-gpu", "spot-1-gpu", "spot-8-gpu"])
def test_a_gpu_group_is_on_nodes_of_its_size_and_market_alone(group: str) -> None:
    pod = next(pod for pod in workers("gpu-cluster") if pod.group == group)
    market, _, size = pod.group.replace("on-demand", "ondemand").partition("-")
    node_type = {"1-gpu": "p5.4xlarge", "8-gpu": "p5.48xlarge"}[size]
    assert pod.ray["resources"]["limits"]["nvidia.com/gpu"] == size[0]
    required = pod.spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    spot = {"key": "karpenter.sh/capacity-type", "operator": "In" if market == "spot" else "NotIn", "values": ["spot"]}
    type_ = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": [node_type]}
    assert required == {"nodeSelectorTerms": [{"matchExpressions": [type_, spot]}]}
    tolerated = [(toleration["key"], toleration.get("value")) for toleration in pod.spec["tolerations"]]
    assert tolerated == [("nvidia.com/gpu", None)] + [("karpenter.sh/capacity-type", "spot")] * (market == "spot")


def test_a_head_is_on_no_spot_node_and_no_autoscaler_takes_its_node() -> None:
    head = cluster_spec(render("gpu-job"))["headGroupSpec"]["template"]
    required = head["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    term = {"key": "karpenter.sh/capacity-type", "operator": "NotIn", "values": ["spot"]}
    assert required == {"nodeSelectorTerms": [{"matchExpressions": [term]}]}
    assert head["metadata"]["annotations"] == {
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        "karpenter.sh/do-not-disrupt": "true",
    }


def test_a_job_that_lost_its_head_is_tried_again_and_its_cluster_goes_in_the_end() -> None:
    spec = custom(render("gpu-job"))["spec"]
    assert spec["backoffLimit"] >= 1
    assert spec["shutdownAfterJobFinishes"] is True


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_job_and_endpoint_have_the_cluster_of_the_cluster_overlay(kind: str) -> None:
    alone = cluster_spec(render(f"{kind}-cluster"))
    assert cluster_spec(render(f"{kind}-job")) == alone
    endpoint = cluster_spec(render(f"{kind}-endpoint"))
    assert endpoint["workerGroupSpecs"] == alone["workerGroupSpecs"]
    extra = endpoint["headGroupSpec"]["template"]["spec"]["volumes"][-1]
    assert extra["secret"]["secretName"] == "pabcast-keys"


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_overlays_of_one_kind_share_a_namespace_as_only_what_kuberay_carries_out_differs(kind: str) -> None:
    overlays = [overlay for overlay in OVERLAYS if overlay.startswith(kind)]
    things = [custom(render(overlay)) for overlay in overlays]
    shared = [[thing for thing in render(overlay) if thing["kind"] not in CUSTOM] for overlay in overlays]
    assert len({(thing["kind"], thing["metadata"]["name"]) for thing in things}) == len(overlays) == 3
    assert shared[0] == shared[1] == shared[2]
