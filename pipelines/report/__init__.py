"""A page that shows a finished dataset."""

from pipelines.report.report import Report, make_report

__all__ = ["Report", "make_report"]
