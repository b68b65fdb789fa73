"""What an ingress process tells Ray's metrics: each counts its own, and Prometheus adds them up."""

from typing import cast

from fastapi import Request
from ray.util import metrics as ray_metrics

from actors.metric import Metric

REQUESTS = Metric(
    name="pabcast_serve_requests",
    type="counter",
    description="Requests to /v1 that were answered, by route (none: there is no such one) and status.",
    labels=("route", "status"),
    known=tuple(("POST /v1/videos", status) for status in ("200", "400", "429", "500", "503")),
)
STORE_ERRORS = Metric(
    name="pabcast_serve_store_errors",
    type="counter",
    description="Requests that failed because the store could not be read or written.",
    known=((),),
)
METRICS: tuple[Metric, ...] = (REQUESTS, STORE_ERRORS)
METRIC_NAMES: tuple[str, ...] = tuple(name for metric in METRICS for name in metric.exported)
"""Every name that a scrape may show."""


class Traffic:
    """The counts of one process."""

    def __init__(self) -> None:
        self._requests = cast(ray_metrics.Counter, REQUESTS.at_ray())
        self._store_errors = cast(ray_metrics.Counter, STORE_ERRORS.at_ray())

    def answered(self, request: Request, status: int) -> None:
        """Add a request that was answered so; those for pages and health are not counted."""
        if request.url.path.startswith("/v1/"):
            self._requests.inc(1.0, REQUESTS.tags((route_of(request, status), str(status))))

    def store_failed(self) -> None:
        """Add a request that the store let down."""
        self._store_errors.inc()


def route_of(request: Request, status: int) -> str:
    """Method and path as the API declares them, of which there are few; what a client makes up is none."""
    path = getattr(request.scope.get("route"), "path", None)
    return "none" if path is None or status == 405 else f"{request.method} {path}"
