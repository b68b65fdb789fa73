"""The launcher's files pass Ray's own check and the clouds' own schemas, and nodes are what pabcast asks for."""

import json
from pathlib import Path
from typing import Any

import botocore.session
import click
import googleapiclient
import jsonschema
import pytest
from botocore.exceptions import ParamValidationError
from botocore.validate import validate_parameters
from ray.scripts.scripts import start

from cluster.demand import Market
from cluster.placement import bundles_that_fit, label_selector
from tests.infra.image.stages import stages
from tests.infra.launcher.clusters import (
    CLOUDS,
    SIZES,
    Values,
    checked,
    cluster_file,
    domain,
    gpu_types,
    read,
    start_arguments,
)

MARKETS: tuple[Market, ...] = ("spot", "on_demand")


def node_configs(cloud: str) -> list[Values]:
    return [kind["node_config"] for kind in read(cloud)["available_node_types"].values()]


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_file_passes_rays_own_check(cloud: str) -> None:
    config = checked(read(cloud))
    assert config["provider"]["type"] == cloud
    assert config["head_start_ray_commands"] == read(cloud)["head_start_ray_commands"]


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ((), "idle_timeout_minuts", 5),
        (("docker",), "run_optoins", []),
        (("available_node_types", "gpu_1_spot"), "lables", {}),
        (("available_node_types", "gpu_1_spot", "resources"), "GPU", "one"),
        (("available_node_types", "gpu_1_spot", "labels"), "ray.io/market-type", 1),
    ],
)
def test_a_misspelt_key_is_refused(cloud: str, path: tuple[str, ...], key: str, value: Any) -> None:
    values = read(cloud)
    place = values
    for name in path:
        place = place[name]
    place[key] = value
    with pytest.raises(jsonschema.ValidationError):
        checked(values)


def test_every_aws_node_is_a_request_that_ec2_knows() -> None:
    shape = botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    for node in node_configs("aws"):
        validate_parameters({**node, "MinCount": 1, "MaxCount": 1}, shape)
    with pytest.raises(ParamValidationError, match="InstanceTyp"):
        validate_parameters({**node, "InstanceTyp": "m7i.large", "MinCount": 1, "MaxCount": 1}, shape)


def test_every_gcp_node_is_an_instance_that_compute_engine_knows() -> None:
    check = jsonschema.Draft7Validator({"$ref": "#/schemas/Instance", "schemas": compute_schemas()})
    for node in node_configs("gcp"):
        assert [error.message for error in check.iter_errors(node)] == []
    wrong = {**node, "machinetype": "n2-standard-8", "scheduling": {"provisioningModel": "CHEAP"}}
    assert len(list(check.iter_errors(wrong))) == 2


def compute_schemas() -> Values:
    """Compute Engine's types from Google's client, as JSON Schema that refuses unknown keys."""
    folder = Path(googleapiclient.__file__).parent / "discovery_cache/documents"
    schemas: Values = json.loads((folder / "compute.v1.json").read_text())["schemas"]

    def closed(value: Any) -> Any:
        if isinstance(value, list):
            return [closed(one) for one in value]
        if not isinstance(value, dict):
            return value
        made = {name: closed(one) for name, one in value.items() if name not in ("id", "format")}
        if isinstance(made.get("$ref"), str):
            return {"$ref": f"#/schemas/{made['$ref']}"}
        return {"additionalProperties": False, **made} if isinstance(made.get("properties"), dict) else made

    made: Values = closed(schemas)
    return made


@pytest.mark.parametrize("cloud", CLOUDS)
def test_every_size_of_node_is_there_on_both_markets_with_the_labels_that_placement_selects_by(cloud: str) -> None:
    kinds = gpu_types(checked(read(cloud)))
    for gpus in SIZES:
        for market in MARKETS:
            (name,) = [name for name in kinds if name == f"gpu_{gpus}_{market}"]
            kind = kinds[name]
            assert kind["labels"] == label_selector(market)
            assert bundles_that_fit(domain(gpus), [kind["resources"]]) == gpus
            assert is_spot(cloud, kind["node_config"]) == (market == "spot")
            assert kind.get("priority", 0) == (market == "on_demand")
    assert len(kinds) == len(SIZES) * len(MARKETS)


def is_spot(cloud: str, node: Values) -> bool:
    if cloud == "aws":
        return bool(node.get("InstanceMarketOptions", {}).get("MarketType") == "spot")
    return bool(node["scheduling"]["provisioningModel"] == "SPOT")


@pytest.mark.parametrize("cloud", CLOUDS)
def test_nothing_but_the_head_is_there_when_nothing_is_asked_for(cloud: str) -> None:
    config = checked(read(cloud))
    assert all(kind["min_workers"] == 0 for kind in config["available_node_types"].values())
    assert 0 < config["idle_timeout_minutes"] <= 10
    head = config["available_node_types"][config["head_node_type"]]
    assert "GPU" not in head["resources"]
    assert head["labels"] == label_selector("on_demand")


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("node", ["head", "worker"])
def test_ray_start_takes_the_arguments_of_the_start_commands(cloud: str, node: str) -> None:
    arguments = start_arguments(read(cloud)[f"{node}_start_ray_commands"])
    given = start.make_context("ray start", list(arguments)).params
    # The launcher waits for the command's end.
    assert not given["block"]
    assert given["metrics_export_port"] == 8080
    assert given["head"] == (node == "head")
    if node == "head":
        assert given["autoscaling_config"] == "~/ray_bootstrap_config.yaml"
        assert given["dashboard_host"] == "127.0.0.1"
    else:
        assert given["address"] == f"$RAY_HEAD_IP:{start_port(cloud)}"
    with pytest.raises(click.NoSuchOption):
        start.make_context("ray start", [*arguments, "--metrics-port=8080"])


def start_port(cloud: str) -> int:
    arguments = start_arguments(read(cloud)["head_start_ray_commands"])
    return int(start.make_context("ray start", arguments).params["port"])


@pytest.mark.parametrize("cloud", CLOUDS)
def test_every_node_asks_for_rays_token_which_is_mounted_from_a_folder_of_the_user(cloud: str) -> None:
    config = read(cloud)
    variables = dict(
        option.removeprefix("--env=").split("=", 1)
        for option in config["docker"]["run_options"]
        if option.startswith("--env=")
    )
    assert variables["RAY_AUTH_MODE"] == "token"
    (mount,) = config["file_mounts"]
    assert Path(variables["RAY_AUTH_TOKEN_PATH"]).parent == Path(mount)
    assert Path(mount).parent == Path(stages()["runtime"].environment["HOME"])
    assert config["file_mounts"][mount].startswith("~/")


@pytest.mark.parametrize("cloud", CLOUDS)
def test_nodes_have_roles_and_no_keys(cloud: str) -> None:
    text = cluster_file(cloud).read_text()
    names = ("KeyName", "ACCESS_KEY", "aws_credentials", "gcp_credentials", "private_key", "GOOGLE_APPLICATION_CRED")
    assert [word for word in names if word in text] == []
    roles = [
        node["IamInstanceProfile"]["Name"] if cloud == "aws" else node["serviceAccounts"][0]["email"].split("@")[0]
        for node in node_configs(cloud)
    ]
    assert roles == ["pabcast-head"] + ["pabcast-worker"] * len(gpu_types(read(cloud)))


@pytest.mark.parametrize("name", ["aws-head-policy.json", "aws-worker-policy.json"])
def test_a_role_may_use_the_bucket_and_pull_the_image_and_a_workers_role_nothing_else(name: str) -> None:
    policy = json.loads(cluster_file("aws").with_name(name).read_text())
    allowed = {action for one in policy["Statement"] for action in one["Action"]}
    assert {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"} <= allowed
    assert {action.split(":")[0] for action in allowed} - {"s3", "ecr"} == (
        {"ec2", "ssm", "iam"} if "head" in name else set()
    )
    pulls = {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}
    where = {action: one["Resource"] for one in policy["Statement"] for action in one["Action"]}
    repository = read("aws")["docker"]["image"].partition("/")[2].partition(":")[0]
    assert {action for action in allowed if action.startswith("ecr:")} == pulls | {"ecr:GetAuthorizationToken"}
    assert all(where[action] == [f"arn:aws:ecr:*:ACCOUNT:repository/{repository}"] for action in pulls)
    assert all(one["Effect"] == "Allow" for one in policy["Statement"])
    assert not any("*" in action for action in allowed)
