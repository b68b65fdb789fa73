"""Ray as it is installed here."""

from pipelines.doctor.finding import Finding
from pipelines.doctor.versions import judge, read_ranges
from pipelines.doctor.wanted import Wanted


def look_at_ray(wanted: Wanted) -> list[Finding]:
    """The line `ray`."""
    import ray

    return [judge("ray", ray.__version__, read_ranges().packages["ray"])]
