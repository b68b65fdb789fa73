"""Which checks there are, and which of them a wish needs."""

from pipelines.config import JobConfig
from pipelines.doctor.codecs import look_at_codecs
from pipelines.doctor.disk import look_at_disks
from pipelines.doctor.gpus import look_at_torch
from pipelines.doctor.memory import look_at_memory
from pipelines.doctor.model import look_at_model
from pipelines.doctor.ray_cluster import look_at_cluster
from pipelines.doctor.ray_version import look_at_ray
from pipelines.doctor.shared_memory import look_at_shared_memory
from pipelines.doctor.store import has_endpoint, look_at_endpoint, look_at_input, look_at_store
from pipelines.doctor.versions import look_at_packages, look_at_python
from pipelines.doctor.wanted import Wanted
from pipelines.doctor.ward import Check


def checks_for(wanted: Wanted) -> list[Check]:
    """In the order that their lines are shown in."""
    checks = [
        Check(name="python", look=look_at_python),
        Check(name="packages", look=look_at_packages),
        Check(name="torch", look=look_at_torch, limit_s=120),
        Check(name="ray", look=look_at_ray),
    ]
    if wanted.address is not None:
        checks.append(Check(name="ray cluster", look=look_at_cluster, limit_s=120))
    if wanted.store is not None:
        checks.append(Check(name="store", look=look_at_store))
    elif has_endpoint():
        checks.append(Check(name="s3 endpoint", look=look_at_endpoint))
    if isinstance(wanted.config, JobConfig):
        checks.append(Check(name="input", look=look_at_input))
    return [
        *checks,
        Check(name="model", look=look_at_model),
        Check(name="codecs", look=look_at_codecs),
        Check(name="memory", look=look_at_memory),
        Check(name="shared memory", look=look_at_shared_memory),
        Check(name="disk", look=look_at_disks),
    ]
