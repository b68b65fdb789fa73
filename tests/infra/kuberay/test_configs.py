"""The configs that the ConfigMaps hold, and the one file that says what differs from one cloud to the next."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from cluster.errors import ConfigError, StoreError
from pipelines.config import JobConfig, load_config
from pipelines.gpus import known_gpus
from pipelines.places import ROOT
from pipelines.serve import CLERK, INGRESS
from pipelines.serving.config import ServeConfig, load_serve_config
from pipelines.store import open_store
from tests.infra.kuberay.operator import pods_of
from tests.infra.kuberay.pod_security import containers
from tests.infra.kuberay.rendering import (
    KUBERAY,
    OVERLAYS,
    Object,
    cluster_spec,
    custom,
    kustomize,
    named,
    render,
    walk,
)

STORES = {"cpu": "/shared", "gpu": "s3://<bucket>/pabcast"}
ENDPOINTS = [overlay for overlay in OVERLAYS if overlay.endswith("endpoint")]


def written(folder: Path, objects: tuple[Object, ...], name: str) -> str:
    """A file of the config's ConfigMap, as a pod finds it."""
    file = folder / name
    file.write_text(named(objects, "ConfigMap", "pabcast-config")["data"][name])
    return str(file)


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An overlay, and its settings as the environment of this process."""
    for name, value in named(render(request.param), "ConfigMap", "pabcast-settings")["data"].items():
        monkeypatch.setenv(name, value)
    return str(request.param)


def job_of(overlay: str, folder: Path, *overrides: str) -> JobConfig:
    return load_config(written(folder, render(overlay), "job.yaml"), overrides)


def endpoint_of(overlay: str, folder: Path) -> ServeConfig:
    return load_serve_config(written(folder, render(overlay), "serve.yaml"))


def test_the_jobs_config_loads_and_goes_to_the_store_of_the_settings(overlay: str, tmp_path: Path) -> None:
    job = job_of(overlay, tmp_path)
    assert job.output.uri == f"{STORES[overlay[:3]]}/demo"
    assert Path(job.input.path).is_file()
    assert job.cluster.address == "auto"


def test_the_endpoints_config_loads_and_wants_keys(overlay: str, tmp_path: Path) -> None:
    config = endpoint_of(overlay, tmp_path)
    assert config.store.uri == f"{STORES[overlay[:3]]}/serve"
    assert (config.auth.disabled, config.keys_path) == (False, "/etc/pabcast-keys/keys.txt")


def test_a_key_that_the_loader_does_not_know_would_be_refused(overlay: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown key cluster\.compile_cash"):
        job_of(overlay, tmp_path, "cluster.compile_cash=/shared")


def test_the_pool_starts_without_workers_and_its_device_is_said(overlay: str, tmp_path: Path) -> None:
    """What `auto` finds depends on the nodes that are there, and at first there are none."""
    device = "cpu" if overlay.startswith("cpu") else "cuda"
    for cluster in (job_of(overlay, tmp_path).cluster, endpoint_of(overlay, tmp_path).cluster):
        assert (cluster.min_workers, cluster.device) == (0, device)
        assert cluster.spot == (device == "cuda")


def test_a_domain_fits_a_group_and_all_workers_fit_the_groups(overlay: str, tmp_path: Path) -> None:
    groups = cluster_spec(render(overlay))["workerGroupSpecs"]
    slots = []
    for group in groups:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        slots.append((int(limits.get("nvidia.com/gpu", limits["cpu"])), group["maxReplicas"]))
    for cluster in (job_of(overlay, tmp_path).cluster, endpoint_of(overlay, tmp_path).cluster):
        assert cluster.domain_workers <= max(size for size, _ in slots)
        assert cluster.workers <= sum(size * count for size, count in slots)


def test_the_compile_cache_is_on_a_volume_that_all_workers_mount(tmp_path: Path, monkeypatch: Any) -> None:
    objects = render("gpu-job")
    for name, value in named(objects, "ConfigMap", "pabcast-settings")["data"].items():
        monkeypatch.setenv(name, value)
    cluster = job_of("gpu-job", tmp_path).cluster
    assert cluster.compile
    claim = named(objects, "PersistentVolumeClaim", "pabcast-shared")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for pod in pods_of(objects):
        if pod.start:
            (mount,) = (mount for mount in pod.ray["volumeMounts"] if mount["mountPath"] == "/shared")
            assert cluster.compile_cache.startswith(mount["mountPath"])
            assert pod.volume(mount["name"])["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}


def test_the_gpu_of_the_settings_is_one_that_can_be_planned_for(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PABCAST_STORE", "s3://bucket")
    monkeypatch.setenv("PABCAST_GPU", named(render("gpu-job"), "ConfigMap", "pabcast-settings")["data"]["PABCAST_GPU"])
    assert job_of("gpu-job", tmp_path).gpu in known_gpus()


@pytest.mark.parametrize("overlay", ENDPOINTS)
def test_the_applications_config_is_as_serve_deploys(overlay: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PABCAST_STORE", "s3://bucket")
    monkeypatch.setenv("PABCAST_GPU", "h100")
    config = yaml.safe_load(custom(render(overlay))["spec"]["serveConfigV2"])
    ServeDeploySchema.model_validate(config)
    known = yaml.safe_load((ROOT / "configs/serve-deploy.yaml").read_text())
    assert config.keys() == known.keys()
    (application,), (other,) = config["applications"], known["applications"]
    for key in ("name", "route_prefix", "import_path"):
        assert application[key] == other[key]
    assert config["proxy_location"] == known["proxy_location"]
    http = endpoint_of(overlay, tmp_path).http
    assert (http.host, http.port) == (config["http_options"]["host"], config["http_options"]["port"])
    assert not http.is_loopback


@pytest.mark.parametrize("overlay", ENDPOINTS)
def test_the_endpoint_finds_its_config_and_its_keys_where_they_are_mounted(overlay: str) -> None:
    config = yaml.safe_load(custom(render(overlay))["spec"]["serveConfigV2"])
    assert config["applications"][0]["args"] == {"config": "/etc/pabcast/serve.yaml"}
    (head,) = (pod for pod in pods_of(render(overlay)) if pod.group == "head")
    mounted = {mount["mountPath"]: pod_volume for mount in head.ray["volumeMounts"] if (pod_volume := mount["name"])}
    assert head.volume(mounted["/etc/pabcast"])["configMap"] == {"name": "pabcast-config"}
    keys = {"secretName": "pabcast-keys", "items": [{"key": "keys.txt", "path": "keys.txt"}]}
    assert head.volume(mounted["/etc/pabcast-keys"])["secret"] == keys
    assert {"name": "serve", "containerPort": config["http_options"]["port"]} in head.ray["ports"]


@pytest.mark.parametrize("overlay", ENDPOINTS)
def test_all_processes_of_the_endpoint_but_the_workers_stay_on_the_head(overlay: str) -> None:
    config = yaml.safe_load(custom(render(overlay))["spec"]["serveConfigV2"])
    placed = {one["name"]: one["ray_actor_options"] for one in config["applications"][0]["deployments"]}
    on_head = {"num_cpus": 0, "resources": {"node:__internal_head__": 0.001}}
    assert placed == {CLERK: on_head, INGRESS: on_head}


@pytest.mark.parametrize("overlay", ENDPOINTS)
def test_no_second_cluster_is_started_for_a_store_that_the_first_one_holds(overlay: str) -> None:
    assert custom(render(overlay))["spec"]["upgradeStrategy"] == {"type": "None"}


SETTINGS = {
    "PABCAST_IMAGE": "registry.of.ours:5000/videos/pabcast:0.2.0-cuda",
    "PABCAST_STORE": "s3://videos-of-ours/there",
    "NODE_TYPE_LABEL": "cloud.google.com/machine-family",
    "NODE_TYPE_1_GPU": "one",
    "NODE_TYPE_8_GPU": "eight",
    "SPOT_LABEL": "cloud.google.com/gke-spot",
    "SPOT_VALUE": "true",
    "SHARED_STORAGE_CLASS": "filestore",
    "SERVICE_ACCOUNT": "videos",
}
"""Changed ones, for another cloud."""


def test_one_file_changes_the_image_the_bucket_and_the_nodes_everywhere(tmp_path: Path) -> None:
    before, objects = changed(SETTINGS, tmp_path, "gpu-job")
    settings = named(objects, "ConfigMap", "pabcast-settings")
    assert settings["data"] == before | SETTINGS
    assert settings["metadata"]["labels"]["pabcast/bucket"] == "videos-of-ours"
    others = [thing for thing in objects if thing["metadata"]["name"] != "pabcast-settings"]
    said = {str(value) for _, value in walk(others) if isinstance(value, str)}
    gone = {before[name] for name in SETTINGS if name != "SPOT_VALUE"}
    assert set(SETTINGS.values()) - {SETTINGS["PABCAST_STORE"]} <= said
    assert not gone & said
    assert not said & before.keys()
    images = {container["image"] for pod in pods_of(objects) for container in containers(pod.spec)}
    assert images == {SETTINGS["PABCAST_IMAGE"]}
    accounts = {pod.spec["serviceAccountName"] for pod in pods_of(objects) if pod.start}
    assert accounts == {SETTINGS["SERVICE_ACCOUNT"]}


def changed(settings: dict[str, str], folder: Path, overlay: str) -> tuple[dict[str, str], tuple[Object, ...]]:
    """The settings as they are, and an overlay with other ones."""
    copy = folder / "kuberay"
    shutil.copytree(KUBERAY, copy)
    file = copy / "gpu/settings.env"
    lines = file.read_text().splitlines()
    before = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    file.write_text("".join(f"{name}={settings.get(name, value)}\n" for name, value in before.items()))
    return before, tuple(kustomize(copy / "overlays" / overlay))


LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
"""What Kubernetes takes for a label's value."""


@pytest.mark.parametrize("overlay", [overlay for overlay in OVERLAYS if overlay.startswith("gpu")])
def test_kubernetes_takes_no_settings_whose_bucket_nobody_has_named(overlay: str) -> None:
    settings = named(render(overlay), "ConfigMap", "pabcast-settings")
    refused = [value for value in settings["metadata"]["labels"].values() if not LABEL.fullmatch(value)]
    assert refused == ["<bucket>"]
    for pod in pods_of(render(overlay)):
        if pod.start:
            assert {"configMapRef": {"name": "pabcast-settings"}} in pod.ray["envFrom"], "no pod starts without them"


@pytest.mark.parametrize("bucket", ["abc", "a.b-c.1", "0" + 61 * "x" + "9"])
def test_kubernetes_takes_every_bucket_that_there_can_be(bucket: str, tmp_path: Path) -> None:
    objects = changed({"PABCAST_STORE": f"s3://{bucket}"}, tmp_path, "gpu-cluster")[1]
    labels = named(objects, "ConfigMap", "pabcast-settings")["metadata"]["labels"]
    assert labels["pabcast/bucket"] == bucket
    assert all(LABEL.fullmatch(value) for value in labels.values())


def test_the_bucket_that_nobody_has_named_is_refused_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    with pytest.raises(StoreError, match="'<bucket>' is not a valid bucket name"):
        open_store(STORES["gpu"]).get("anything")
