"""serve-deploy.yaml is an endpoint that Ray Serve and our own config take, on nodes that the clusters' files have."""

from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from cluster.placement import bundles_that_fit
from pipelines import serve
from pipelines.places import ROOT
from pipelines.serving.config import ServeConfig
from tests.infra.launcher.clusters import CLOUDS, checked, domain, gpu_types, read
from tests.infra.launcher.test_document import BLOCKS

FILE = ROOT / "infra/launcher/serve-deploy.yaml"
VALUES: dict[str, Any] = yaml.safe_load(FILE.read_text())


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> ServeConfig:
    """What the head would build the application from."""
    built: list[ServeConfig] = []
    monkeypatch.setattr(serve, "build", lambda config, _: built.append(config))
    (application,) = VALUES["applications"]
    serve.app(application["args"])
    return built[0]


def test_it_is_as_serve_deploys_with_other_arguments() -> None:
    ServeDeploySchema.model_validate(VALUES)
    known = yaml.safe_load((ROOT / "configs/serve-deploy.yaml").read_text())
    (application,), (other,) = VALUES["applications"], known["applications"]
    assert {**known, "applications": None} == {**VALUES, "applications": None}
    assert {**application, "args": None} == {**other, "args": None}


def test_it_listens_where_ray_serve_does_wants_keys_and_keeps_videos_in_the_bucket(endpoint: ServeConfig) -> None:
    http = VALUES["http_options"]
    assert (endpoint.http.host, endpoint.http.port) == (http["host"], http["port"])
    assert not endpoint.auth.disabled
    assert endpoint.store.uri == "s3://BUCKET/serve"


def test_a_load_balancer_reaches_it_after_the_documents_sed(endpoint: ServeConfig) -> None:
    (host,) = {VALUES["http_options"]["host"], endpoint.http.host}
    changed = yaml.safe_load(FILE.read_text().replace(host, "0.0.0.0"))
    assert changed["http_options"]["host"] == changed["applications"][0]["args"]["http.host"] == "0.0.0.0"
    document = (FILE.parent / "README.md").read_text()
    assert f"sed -i 's/{host}/0.0.0.0/' infra/launcher/serve-deploy.yaml" in document


def test_the_keys_are_brought_to_where_it_looks_for_them(endpoint: ServeConfig) -> None:
    (block,) = (block for block in BLOCKS if "serve deploy" in block)
    assert f"/keys.txt {endpoint.keys_path}\n" in block
    assert endpoint.http.is_loopback == ("--port 8000 --remote-port 8000" in block)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_its_workers_come_on_spot_nodes_when_videos_wait_and_the_head_needs_no_gpu(
    endpoint: ServeConfig, cloud: str
) -> None:
    cluster = endpoint.cluster
    assert (cluster.address, cluster.device, cluster.min_workers) == ("auto", "cuda", 0)
    assert cluster.spot
    assert cluster.spot_timeout_s >= 900
    assert cluster.domain_workers is not None
    spot = [kind for name, kind in gpu_types(checked(read(cloud))).items() if name.endswith("_spot")]
    (smallest,) = (kind for kind in spot if kind["resources"]["GPU"] == cluster.domain_workers)
    assert bundles_that_fit(domain(cluster.domain_workers), [smallest["resources"]]) == cluster.domain_workers
    assert cluster.workers <= smallest["max_workers"] * cluster.domain_workers
