"""The report: what a study found, to be looked at."""

from simclip.report.comparison import write_comparison
from simclip.report.page import write_report

__all__ = ["write_comparison", "write_report"]
