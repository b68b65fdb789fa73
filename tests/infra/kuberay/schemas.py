"""KubeRay's CRDs and Kubernetes' own schemas, strict: a field that they do not know is an error."""

import functools
import os
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from pipelines.places import ROOT
from tests.infra.kuberay.rendering import Object

KUBERNETES = "1.34"
CRDS = "PABCAST_KUBERAY_CRDS"
"""The variable that names the folder of KubeRay's CRDs, which do not come with the project."""
LONGEST = 300
"""Characters of an error."""
UNKNOWN = "x-kubernetes-preserve-unknown-fields"


def crd_folder() -> Path:
    """Where ray.io_rayclusters.yaml and the others are; skips the test where they are not."""
    folder = Path(os.environ.get(CRDS) or ROOT.parent / "shared/data/kuberay-crds")
    if not (folder / "ray.io_rayclusters.yaml").is_file():
        pytest.skip(f"{folder} has no ray.io_rayclusters.yaml; set {CRDS} to the folder of KubeRay's CRDs")
    return folder


@functools.cache
def schema_of(kind: str, folder: Path) -> Object:
    """The strict schema of one of KubeRay's kinds in ray.io/v1."""
    text = (folder / f"ray.io_{kind.lower()}s.yaml").read_text()
    document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (version,) = (version for version in document["spec"]["versions"] if version["name"] == "v1")
    schema = strict(version["schema"]["openAPIV3Schema"])
    # Of the object's own metadata a CRD says that it is an object; Kubernetes knows the rest, see `problems`.
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def strict(schema: Any) -> Any:
    """A structural schema in which an object has no fields but those that are listed."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed: Object = {}
    for key, value in schema.items():
        # The names in `properties` are fields, whatever they are called.
        closed[key] = {name: strict(field) for name, field in value.items()} if key == "properties" else strict(value)
    if schema.get("type") == "object" and "additionalProperties" not in schema and not schema.get(UNKNOWN):
        closed["additionalProperties"] = False
    return closed


def problems(thing: Object) -> list[str]:
    """What makes it no object of its kind, a line each."""
    if thing["apiVersion"] != "ray.io/v1":
        return _problems_by_kubernetes(thing)
    bare = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": thing["metadata"]}
    errors = jsonschema.Draft202012Validator(schema_of(thing["kind"], crd_folder())).iter_errors(thing)
    return [f"{error.json_path}: {error.message[:LONGEST]}" for error in errors] + _problems_by_kubernetes(bare)


def pod_problems(spec: Object) -> list[str]:
    """As `problems`, of a pod's spec."""
    return _problems_by_kubernetes({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a-pod"}, "spec": spec})


def _problems_by_kubernetes(thing: Object) -> list[str]:
    try:
        kubernetes_validate.validate(thing, KUBERNETES, strict=True)
    except jsonschema.ValidationError as error:
        return [f"{error.json_path}: {error.message[:LONGEST]}"]
    return []
